//! Raw settings become checked settings; every knob is documented where it is declared.
