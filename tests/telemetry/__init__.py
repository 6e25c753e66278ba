"""Tests of metrics, health, traces and logs."""
