"""Physical constants."""

GRAVITY_M_S2 = 9.81
