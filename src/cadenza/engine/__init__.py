"""What runs an autoregressive model: the step protocol and its caches."""
