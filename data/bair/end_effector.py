"""The range of the robot's end effector, (x, y, z) in the units of the data set, as in the authors' release."""

MINIMUM = (0.42638585, -0.3080245, 0.19146784)
EXTENT = (0.42850533, 0.54029283, 0.12564658)  # from the minimum to the maximum
