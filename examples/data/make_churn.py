"""Simulates churn.parquet: 10,000 customers of an invented French telecom on 30 June 2025, 300 of whom leave in July.

    python examples/data/make_churn.py --out churn.parquet

No row is a person's. All draws come from one seeded PCG64 and all numbers are rounded, so a rerun gives the same
values. ``use`` and ``anger`` are hidden causes that tie the columns together; the label is a noisy sum, from which
a regularised forest gets an AUC of about .83. What a missing value means:

    device  SIM only        contract_end  cancel at any time    last_login    has no account
    age     not told        data_gb       no data option        satisfaction  did not answer the survey
    ported_in (brought a number along)    not recorded before 2017
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

TODAY = pd.Timestamp("2025-06-30")
PRICES = {"Prepaid": 9.99, "Basic": 14.99, "Plus": 24.99, "Business": 34.99, "Premium": 39.99, "Family": 54.99}
REGIONS = ["Île-de-France", "Auvergne-Rhône-Alpes", "Occitanie", "Grand Est", "Provence", "Bretagne", "Normandie"]
PHONES, PAYMENTS = ["android", "android pro", "ios", "keypad"], ["direct debit", "card", "invoice", "voucher"]


def make_churn(n: int = 10_000, *, positives: int = 300, seed: int = 7) -> pd.DataFrame:
    """Return ``n`` customers, longest with us first, ``positives`` of them with ``churned`` = 1."""
    rng = np.random.Generator(np.random.PCG64(seed))
    use, anger = rng.standard_normal((2, n))
    f = pd.DataFrame({"customer_id": [f"C-{k:06d}" for k in np.cumsum(rng.integers(1, 40, n))]})
    tenure = np.sort(np.rint(20 + 4000 * rng.beta(0.9, 2.2, n)))[::-1]  # days
    plan = rng.choice(6, n, p=[0.16, 0.24, 0.27, 0.08, 0.13, 0.12])
    age = np.clip(np.rint(18 + 62 * rng.beta(1.6, 2.3, n) + 8 * (plan == 5)), 18, 94)
    phone = np.where(rng.random(n) < 1 / (1 + np.exp(6.5 - age / 13)), 3, rng.choice(3, n, p=[0.36, 0.24, 0.4]))
    f["plan"] = pd.Categorical.from_codes(plan, list(PRICES))
    f["region"] = rng.choice(REGIONS, n, p=[0.26, 0.18, 0.14, 0.13, 0.12, 0.1, 0.07])
    f["device"] = pd.Series(np.array(PHONES, dtype=object)[phone]).mask(rng.random(n) < 0.45 - 0.06 * plan)
    f["age"] = pd.Series(age).mask((plan == 3) | (rng.random(n) < 0.03)).astype("Int16")

    months = np.where(plan == 0, 1, rng.choice([1, 12, 24], n, p=[0.34, 0.38, 0.28]))
    left = np.ceil(months * 30.4 - tenure % (months * 30.4))  # days until the contract renews
    f["signup_date"] = (TODAY - pd.to_timedelta(pd.Series(tenure), unit="D")).dt.date
    f["contract_end"] = (TODAY + pd.to_timedelta(pd.Series(left), unit="D")).dt.date.where(months > 1, None)
    f["ported_in"] = pd.Series(rng.random(n) < 0.3, dtype="boolean").mask(tenure > 3102)
    f["autopay"] = autopay = rng.random(n) < np.where(plan == 0, 0.15, 0.7)
    pays = np.where(autopay, rng.choice(2, n, p=[0.7, 0.3]), np.where(plan == 0, 3, 2))
    f["payment_method"] = np.array(PAYMENTS, dtype=object)[pays]

    fee = np.array(list(PRICES.values()))[plan] * rng.choice([1, 0.9, 0.8], n, p=[0.65, 0.21, 0.14])
    f["abroad"] = abroad = rng.random(n) < 0.08 + 0.2 * (plan == 3) + 0.1 * (plan == 4)
    extras = np.where(rng.random(n) < 0.22 + 0.3 * abroad, rng.gamma(1.3, 6.0 + 4 * abroad, n), 0)
    f["monthly_fee"], f["last_bill"] = fee.round(2), (fee + extras).round(2)
    gb = np.exp(1.3 + 0.35 * plan + 0.8 * use - 0.018 * (age - 40))
    f["data_gb"] = pd.Series(gb.round(2)).mask((phone == 3) | (rng.random(n) < 0.1 * (plan < 2)))
    f["call_minutes"] = np.rint(np.exp(4.6 - 0.25 * use + 0.7 * rng.standard_normal(n))).astype(int)
    late = rng.poisson(np.exp(-1.3 - 1.2 * autopay - 0.02 * (age - 40) + 0.25 * anger)) * (plan > 0)
    calls = rng.poisson(np.exp(-0.75 + 0.8 * anger + 0.25 * (extras > 15) + 0.3 * (f["region"] == "Normandie")))
    f["late_payments"], f["support_calls"] = late, calls
    score = np.clip(np.rint(7.4 - 1.5 * anger - 0.25 * calls + 1.2 * rng.standard_normal(n)), 1, 10)
    f["satisfaction"] = pd.Series(score).where(rng.random(n) < 0.32 + 0.06 * np.minimum(calls, 3)).astype("Int8")
    account = rng.random(n) < np.where(phone == 3, 0.35, 0.88)
    idle = np.minimum(rng.exponential(np.exp(1.2 + 0.6 * anger - 0.5 * use)), tenure)  # days since the last login
    login = (TODAY - pd.to_timedelta(pd.Series(idle), unit="D")).dt.floor("s").dt.as_unit("ms")
    f["last_login"] = login.dt.tz_localize("UTC").dt.tz_convert("Europe/Paris").where(account)

    free = (months == 1) | (left < 45)
    wants = (1.5 * free + 0.9 * np.sqrt(calls) * (0.6 + 0.6 * free) + 0.55 * np.minimum(late, 4) + 0.6 * anger
             - 0.5 * np.log(tenure / 800) + np.where(account, 0.5 * np.log1p(idle), 0.6) + np.minimum(extras, 40) / 30
             + 0.8 * ((use < -0.7) & (plan > 2)) - 0.9 * (plan == 5) - (age - 40) / 80)  # fmt: skip
    f["churned"] = (pd.Series(0.92 * wants + rng.logistic(size=n)).rank(ascending=False) <= positives).astype(int)
    return f


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("churn.parquet"))
    path = parser.parse_args().out
    make_churn().to_parquet(path, index=False, compression="zstd")
    print(f"wrote {path}: {path.stat().st_size / 1e3:.0f} kB")
