"""What Flower's processes run: the federation's server, and a client's answer to one message."""
