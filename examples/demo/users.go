package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"

	"github.com/sessiontrack/sessiontrack"
)

const (
	// password is everybody's. It is public, so nothing is gained by hashing it with
	// bcrypt; an application of yours must (OWASP ASVS 11.4.2).
	password = "demo"

	plainUsers   = 50
	maxSimulated = 10_000
	firstPlain   = 3    // user1's id
	firstSim     = 1001 // sim1's
)

// account is somebody who may sign in.
type account struct {
	id       int
	email    string
	fullName string
	roles    []string
}

// users are the demo's accounts, the simulated ones too: every replica knows the same
// people. Nothing in it changes, so it needs no lock.
type users struct {
	byEmail map[string]*account
	byID    map[string]*account
	all     []*account
}

func newUsers() users {
	u := users{byEmail: make(map[string]*account), byID: make(map[string]*account)}
	u.add(1, "admin", "Dewi Anggraini", "admin")
	u.add(2, "root", "Bagus Prasetyo", "superadmin")
	for n := range plainUsers {
		u.add(firstPlain+n, "user"+strconv.Itoa(n+1), personName(n), "user")
	}
	for n := range maxSimulated {
		u.add(firstSim+n, "sim"+strconv.Itoa(n+1), personName(plainUsers+n), "user")
	}
	return u
}

func (u *users) add(id int, name, fullName, role string) {
	a := &account{id, name + "@example.com", fullName, []string{role}}
	u.byEmail[a.email] = a
	u.byID[a.userID()] = a
	u.all = append(u.all, a)
}

func (a *account) userID() string   { return strconv.Itoa(a.id) }
func (a *account) username() string { name, _, _ := strings.Cut(a.email, "@"); return name }

// authenticate returns the account where the password is right. An unknown e-mail
// takes as long as a wrong password, so that neither tells who has an account.
func (u users) authenticate(email, given string) (*account, bool) {
	want, got := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(given))
	right := subtle.ConstantTimeCompare(want[:], got[:]) == 1
	a := u.byEmail[strings.ToLower(email)]
	return a, right && a != nil
}

// Users implements [sessiontrack.UserDirectory].
func (u users) Users(_ context.Context, ids []string) (map[string]sessiontrack.UserInfo, error) {
	found := make(map[string]sessiontrack.UserInfo, len(ids))
	for _, id := range ids {
		if a := u.byID[id]; a != nil {
			found[id] = sessiontrack.UserInfo{
				ID: id, Email: a.email, FullName: a.fullName, Username: a.username(), DisplayName: a.fullName,
				AvatarURL: fmt.Sprintf("/static/avatars/%d.svg", a.id),
			}
		}
	}
	return found, nil
}

// SearchUsers implements [sessiontrack.UserSearcher]: part of a name or an e-mail, in
// either case.
func (u users) SearchUsers(_ context.Context, query string, limit int) ([]string, error) {
	query = strings.ToLower(strings.TrimSpace(query))
	if query == "" {
		return nil, nil
	}
	var ids []string
	for _, a := range u.all {
		if len(ids) == limit {
			break
		}
		if strings.Contains(a.email, query) || strings.Contains(strings.ToLower(a.fullName), query) {
			ids = append(ids, a.userID())
		}
	}
	return ids, nil
}

// Roles tells what a user may, for each decision anew; a deleted account may nothing.
func (u users) Roles(_ context.Context, userID string) ([]string, error) {
	if a := u.byID[userID]; a != nil {
		return a.roles, nil
	}
	return nil, nil
}

var (
	givenNames = strings.Fields(
		"Ayu Budi Citra Dimas Eka Fajar Gita Hadi Indah Joko Kartika Lukman Maya Nanda Oki Putri Rafi Sari Tono Wulan " +
			"Amélie Björn Chloé Dmitri Elif Farid Grace Hiroshi Ines " +
			"Jamal Kofi Leïla Mateus Noor Olga Pavel Rosa Søren Thandi Yuki",
	)
	familyNames = strings.Fields(
		"Santoso Lestari Wijaya Kusuma Hartono Pratama Siregar " +
			"Nasution Halim Gunawan Ramadhan Utami Saputra Wibowo Maulana " +
			"Okafor Tanaka Novák Silva Müller García Rossi Ivanova Haddad " +
			"Nguyễn Kowalski Jensen Dubois O’Connor Yılmaz Mensah Andersson Park",
	)
)

// personName is the n-th of some 1,300 names, all of them made up.
func personName(n int) string {
	return givenNames[n%len(givenNames)] + " " + familyNames[(n*7+n/len(givenNames))%len(familyNames)]
}
