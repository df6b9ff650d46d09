"""What every computation needs of its machine: batches, progress, threads, compiled loops, processes of their own."""
