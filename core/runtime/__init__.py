"""What every computation needs of its machine: batches, progress, threads, processes of their own."""
