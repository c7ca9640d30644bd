"""What a training needs on machines that are not there: its real programs, compiled by the real compiler."""
