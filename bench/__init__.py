"""Figures: what a statement costs directly, through HAProxy and through vgate, side by side on one machine."""
