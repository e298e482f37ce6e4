"""The log as operators and auditors read it: searched, replayed, checked, and added up."""
