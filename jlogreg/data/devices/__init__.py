"""Floor 2: samples on several devices, and problems dealt to devices.

Imports `base`.
"""
