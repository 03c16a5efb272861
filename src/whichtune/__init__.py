"""Which way of fine-tuning this language model is best on my data, and what does it cost?"""

__version__ = "0.1.0"
