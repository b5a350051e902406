"""The code of mprun. What programs may use of it is in the module `mprun`; everything here is private.

The packages, top to bottom, each of which imports from those below it only (tests/test_layers.py holds them to it):

    cli · composition · render · supervisor · store · transports · loader · jobs · handlers · process · ipc · ledger ·
    events · spec · exit_status, units, text, package_data, errors
"""

__version__ = "0.1.0"

PACKAGE_OF_MPRUN = True  # tells this package from somebody's own module `runner`
