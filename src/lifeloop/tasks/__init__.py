"""What an output must look like, how it is read and how it is scored: classify, extract, generate, chat."""
