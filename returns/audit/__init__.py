"""Audit of a dataset: does anything that a model may see tell the label before its time?"""
