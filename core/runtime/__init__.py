"""What every computation needs from its machine: batches, progress, threads, isolated processes."""
