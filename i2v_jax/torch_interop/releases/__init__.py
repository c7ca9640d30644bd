"""Whole models in other people's formats: work directories from and to the files of the authors' releases."""
