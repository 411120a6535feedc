"""What is classified: the classes, the rows, how they are read, checked and split."""
