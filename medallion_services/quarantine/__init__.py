"""Messages that broke the contract: look at them, mend them, send them again."""
