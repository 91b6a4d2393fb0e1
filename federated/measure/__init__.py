"""What a federation between processes costs: bytes on the wire, memory of the processes."""
