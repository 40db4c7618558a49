"""What people are told of failures: mail to ADMINS, and ids in every log line."""
