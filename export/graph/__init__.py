"""What the graphs of all models are built of: functions of tensors, and how weights are read."""
