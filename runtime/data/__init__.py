"""Files become examples, examples become token ids, rows become batches."""
