"""What is in images: the files of layers and who put them there, and how two images differ."""
