// Package sessiontrack knows who is signed in to a web application, who is
// online, from which device and place, and ends any of those sessions everywhere
// at once.
package sessiontrack
