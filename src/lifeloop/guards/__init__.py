"""What watches over data: functions from a table to findings."""
