"""Clojure on the runtime: Basilisp's `*executor-pool*`, bound to a pool of ours."""
