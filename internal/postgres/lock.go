package postgres

// LockSpace is the first half of the keys of our advisory locks ("sess" in ASCII), so
// that they do not meet the host's.
const LockSpace = 0x73657373
