"""Pages and programs that answer over HTTP, on this machine."""
