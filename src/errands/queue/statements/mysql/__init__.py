"""The queue on MariaDB and MySQL, and what those two need that others do not."""
