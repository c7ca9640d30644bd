"""The range of the robot's end effector, in the units of the data set (x, y, z), as in the authors' release."""

import numpy as np

MINIMUM = np.array([0.42638585, -0.3080245, 0.19146784], np.float32)
EXTENT = np.array([0.42850533, 0.54029283, 0.12564658], np.float32)  # maximum - MINIMUM
