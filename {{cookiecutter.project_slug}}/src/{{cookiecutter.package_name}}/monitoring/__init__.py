"""The monitor of the champion."""
