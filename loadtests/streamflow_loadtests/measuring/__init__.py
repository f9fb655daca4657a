"""What a load is measured by: durations, CPU time, memory, the machine."""
