"""`unsee certify`, `receipt`, `log`."""
