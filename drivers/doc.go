// Package drivers has tests only: the store on PostgreSQL through every driver and pooler that
// docs/postgresql.md names. It is a module of its own, so that the drivers are nobody else's
// requirements.
package drivers
