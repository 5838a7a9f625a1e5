"""What the Makefile and continuous integration call. Standard library only."""
