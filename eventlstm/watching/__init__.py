"""The watch: rows from a file, a pipe or a broker, alarms to the same, none lost and none twice when it is killed."""
