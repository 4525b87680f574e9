"""The samplers that choose points and the pruners that end trials early: Trytable's and others'."""
