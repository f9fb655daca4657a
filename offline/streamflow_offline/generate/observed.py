"""Tables fitted to StreamFlow's observed data (7,043 users, two months).

Each comment names a table's indexes: net service, contract, band of months active, or a bool column as 0 or 1.
"""

import numpy as np

NET_SERVICES = ("DSL", "Fiber optic", "No")
CONTRACTS = ("Month-to-month", "One year", "Two year")

NET_SHARES = np.array([0.344, 0.440, 0.216])
CONTRACT_SHARES = np.array([[0.505, 0.236, 0.259], [0.687, 0.174, 0.139], [0.343, 0.239, 0.418]])  # net service
PAPERLESS_CHANCE = np.array([0.549, 0.774, 0.292])  # net service
PHONE_CHANCE = np.array([0.72, 1.0, 1.0])  # net service
NEW_USER_CHANCE = np.array([0.0, 0.0007, 0.0059])  # contract; of 0 months active, by users who have paid nothing yet

MONTHS_ACTIVE_LEVELS = np.array([0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
# The quantile at each level: three rows for each net service, one for each contract. Users of 0 months are left out.
MONTHS_ACTIVE_QUANTILES = np.array(
    [
        [1, 1, 1, 2, 4, 6, 10, 14, 20, 28, 41, 51, 71],
        [1, 11, 15, 24, 29, 36, 41, 47, 52, 58, 64, 68, 71],
        [1, 21, 35, 49, 57, 62, 66, 68, 70, 72, 72, 72, 72],
        [1, 1, 1, 3, 7, 11, 16, 23, 30, 39, 52, 59, 72],
        [4, 23, 29, 39, 46, 51, 55, 59, 63, 66, 69, 71, 72],
        [24, 43, 50, 60, 64, 68, 70, 71, 72, 72, 72, 72, 72],
        [1, 1, 1, 1, 1, 3, 5, 7, 11, 16, 25, 33, 61],
        [1, 4, 7, 12, 17, 22, 26, 33, 39, 48, 56, 63, 72],
        [1, 9, 15, 27, 39, 47, 53, 60, 65, 69, 72, 72, 72],
    ]
)
MONTHS_ACTIVE_BANDS = np.array([6, 12, 24, 48, 71])  # each band's last month; the sixth band is month 72, the longest

FAMILY_CHANCE = np.array([0.22, 0.34, 0.42, 0.51, 0.68, 0.86])  # band
DEPENDENTS_CHANCE = np.array([[0.121, 0.560], [0.058, 0.380], [0.148, 0.713]])  # net service, has_family
SENIOR_CHANCE = np.array([[0.142, 0.036], [0.317, 0.089], [0.055, 0.005]])  # net service, has_dependents
# Net service, band. Users without net service have no streaming plans.
TV_CHANCE = np.array([[0.17, 0.27, 0.32, 0.41, 0.56, 0.78], [0.33, 0.45, 0.50, 0.60, 0.73, 0.84], [0.0] * 6])
# Net service, band, plan_stream_tv.
MOVIES_CHANCE = np.array(
    [
        [[0.12, 0.46], [0.23, 0.48], [0.21, 0.58], [0.26, 0.63], [0.40, 0.72], [0.45, 0.89]],
        [[0.21, 0.51], [0.31, 0.65], [0.32, 0.66], [0.40, 0.74], [0.45, 0.85], [0.54, 0.92]],
        [[0.0, 0.0]] * 6,
    ]
)
# Net service, band: the chance of each extra. Each add-on to a net service is an extra, and so is a second phone line.
EXTRA_CHANCE = np.array(
    [[0.17, 0.28, 0.38, 0.47, 0.66, 0.87], [0.17, 0.25, 0.32, 0.43, 0.6, 0.81], [0.066, 0.11, 0.16, 0.22, 0.4, 0.61]]
)
ADD_ONS = np.array([4, 4, 0])  # net service

# The price list that explains the fees, per month; fees spread around it (standard deviation) within limits.
PHONE_CENTS, EXTRA_CENTS, STREAM_PLAN_CENTS = 2000, 500, 1000
NET_CENTS = np.array([2500, 5000, 0])  # net service
FEE_SPREAD_CENTS = np.array([100.0, 105.0, 60.0])  # net service
MIN_FEE_CENTS = np.array([2345, 6775, 1825])  # net service
MAX_FEE_CENTS = np.array([9480, 11875, 2690])  # net service

REBUFFERS_MEAN = np.array([3.0, 2.0, 2.0])  # net service

CHURN_LOG_ODDS_BY_NET = np.array([0, 0.969, -0.762])
CHURN_LOG_ODDS_BY_CONTRACT = np.array([0, -0.833, -1.632])
