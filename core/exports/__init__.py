"""What leaves the Atlas: kits for papers, tables, worded numbers."""
