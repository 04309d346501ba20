"""What is said."""

TEXT = "hello"
