"""Lua on the runtime: its coroutines await our futures, its work runs in threads side by side."""
