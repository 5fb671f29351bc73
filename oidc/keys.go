package oidc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/sessiontrack/sessiontrack"
)

const (
	defaultRefresh = 10 * time.Minute
	defaultPause   = 10 * time.Second
	defaultTimeout = 2 * time.Second
	// maxSet bounds a key set, in bytes. The largest ones of known providers have 10 kB.
	maxSet = 1 << 20
	// maxAbsent bounds the key ids that are known to be absent.
	maxAbsent = 1024
)

// KeyOptions configure a [Keyfunc]. The zero value, or nil, gives the defaults.
type KeyOptions struct {
	// Client fetches the key set. Default: [http.DefaultClient]. Timeout bounds each fetch in any
	// case.
	Client *http.Client
	// Refresh is how often [Keyfunc.Run] fetches the key set: for so long a key may be used after it
	// was withdrawn. Default 10 min, at least 1 s.
	Refresh time.Duration
	// Pause is the shortest time between two fetches for keys that are unknown: a flood of tokens
	// with unknown keys is one request in that time to the provider. Default 10 s, at least 1 s.
	Pause time.Duration
	// Timeout bounds a fetch, for which a request with an unknown key waits. Default 2 s, at
	// least 1 ms.
	Timeout time.Duration
}

func (o *KeyOptions) defaulted() (KeyOptions, error) {
	var c KeyOptions
	if o != nil {
		c = *o
	}
	for _, d := range []struct {
		name         string
		field        *time.Duration
		value, least time.Duration
	}{
		{"Refresh", &c.Refresh, defaultRefresh, time.Second}, {"Pause", &c.Pause, defaultPause, time.Second},
		{"Timeout", &c.Timeout, defaultTimeout, time.Millisecond},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < d.least {
			return c, fmt.Errorf("oidc: KeyOptions.%s is %v: want at least %v", d.name, *d.field, d.least)
		}
	}
	client := http.DefaultClient
	if c.Client != nil {
		client = c.Client
	}
	bounded := *client
	bounded.Transport = boundedTransport{client.Transport}
	c.Client = &bounded
	return c, nil
}

// Keyfunc has the keys of a provider's JWK Set (RFC 7517). What it knows stays good while the
// provider cannot be reached. It is made by [NewKeyfunc] and may be used from many goroutines.
type Keyfunc struct {
	url   string
	o     KeyOptions
	store jwkset.Storage
	inner keyfunc.Keyfunc

	mu       sync.Mutex
	fetching *fetch // under way, or nil
	last     *fetch // the latest one that has ended, or nil
	set      []byte // the latest set, to see changes
	absent   map[string]struct{}
	changed  []func()
}

// fetch is one fetch of the key set.
type fetch struct {
	began  time.Time
	paused bool // it is none: the one before it was a moment ago
	done   chan struct{}
	err    error // once done is closed
}

// NewKeyfunc returns the keys of the JWK Set at a URL, which is jwks_uri of the provider's
// discovery document. It fetches nothing: [Keyfunc.Run] does, and a token whose key is unknown.
func NewKeyfunc(jwksURL string, opts *KeyOptions) (*Keyfunc, error) {
	o, err := opts.defaulted()
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(jwksURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("oidc: NewKeyfunc: %q is no absolute URL of http or https", jwksURL)
	}
	k := &Keyfunc{url: jwksURL, o: o, store: heldStorage{jwkset.NewMemoryStorage()}}
	k.inner, err = keyfunc.New(keyfunc.Options{
		Storage: k.store, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""},
	})
	return k, err
}

// OnChange has f called after each fetch that has changed the set of keys. Give it the Reset of the
// [sessiontrack.JWTIdentifier]: it remembers tokens that it has verified, and would accept those of a
// withdrawn key for its CacheFor.
func (k *Keyfunc) OnChange(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changed = append(k.changed, f)
}

// Run fetches the keys now and every Refresh, until ctx is done.
func (k *Keyfunc) Run(ctx context.Context) {
	ticker := time.NewTicker(k.o.Refresh)
	defer ticker.Stop()
	for {
		k.wait(ctx, k.join(0))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Fetch fetches the keys, for a start that wants to know whether the provider can be reached.
func (k *Keyfunc) Fetch(ctx context.Context) error { return k.wait(ctx, k.join(0)) }

// Key is a jwt.Keyfunc. For a key that is not known it asks the provider, at most once in Pause.
// Where the provider cannot say, or was not asked, the error wraps [sessiontrack.ErrUnavailable]: the
// request gets 503, and the client keeps a token that may be good. It is 401 only where the
// provider's set does not have the key.
func (k *Keyfunc) Key(token *jwt.Token) (any, error) {
	id, named := token.Header[jwkset.HeaderKID].(string)
	if !named {
		if err := k.loaded(); err != nil {
			return nil, err
		}
		return k.inner.Keyfunc(token) // any key of the set
	}
	key, err := k.inner.Keyfunc(token)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, err
	}
	f := k.look(id)
	switch {
	case f == nil:
		return nil, err
	case k.wait(context.Background(), f) != nil:
		return nil, fmt.Errorf("oidc: the key is not known: %w: %w", sessiontrack.ErrUnavailable, f.err)
	}
	if key, err = k.inner.Keyfunc(token); errors.Is(err, jwkset.ErrKeyNotFound) {
		k.missing(id, f)
	}
	return key, err
}

// errPaused says that an unknown key was not asked for.
var errPaused = errors.New("the provider was asked a moment ago")

// loaded fetches the keys where there has been no good fetch yet.
func (k *Keyfunc) loaded() error {
	k.mu.Lock()
	known := k.set != nil
	k.mu.Unlock()
	if known {
		return nil
	}
	f := k.join(k.o.Pause)
	if err := k.wait(context.Background(), f); err != nil {
		return fmt.Errorf("oidc: no key is known: %w: %w", sessiontrack.ErrUnavailable, err)
	}
	return nil
}

// look returns the fetch that says whether a key exists, or nil where that is known: it does not.
func (k *Keyfunc) look(id string) *fetch {
	k.mu.Lock()
	_, absent := k.absent[id]
	k.mu.Unlock()
	if f := k.join(k.o.Pause); !f.paused || !absent {
		return f
	}
	return nil
}

// missing remembers that a key was not in the latest set.
func (k *Keyfunc) missing(id string, f *fetch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last == f && len(k.absent) < maxAbsent {
		k.absent[id] = struct{}{}
	}
}

// join returns the fetch under way, or begins one. Within pause of the one before it returns a
// fetch that has failed with errPaused.
func (k *Keyfunc) join(pause time.Duration) *fetch {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	switch {
	case k.fetching != nil:
		return k.fetching
	case pause > 0 && k.last != nil && now.Sub(k.last.began) < pause:
		f := &fetch{paused: true, done: make(chan struct{}), err: errPaused}
		if k.last.err != nil {
			f.err = k.last.err
		}
		close(f.done)
		return f
	}
	f := &fetch{began: now, done: make(chan struct{})}
	k.fetching = f
	go k.run(f)
	return f
}

// wait returns the outcome of a fetch.
func (k *Keyfunc) wait(ctx context.Context, f *fetch) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run fetches the set. It belongs to nobody who waits for it.
func (k *Keyfunc) run(f *fetch) {
	ctx, cancel := context.WithTimeout(context.Background(), k.o.Timeout)
	defer cancel()
	// Without a RefreshInterval this fetches once, into the storage, and starts nothing.
	_, f.err = jwkset.NewStorageFromHTTP(k.url, jwkset.HTTPClientStorageOptions{
		Client: k.o.Client, Ctx: ctx, HTTPTimeout: k.o.Timeout, Storage: k.store,
	})
	var set []byte
	if f.err == nil {
		set, f.err = k.store.JSONPublic(ctx)
	}
	var tell []func()
	k.mu.Lock()
	if f.err == nil {
		if k.set != nil && !bytes.Equal(set, k.set) {
			tell = append(tell, k.changed...)
		}
		k.set, k.absent = set, make(map[string]struct{})
	}
	k.fetching, k.last = nil, f
	k.mu.Unlock()
	for _, changed := range tell {
		changed()
	}
	close(f.done)
}

// heldStorage keeps its keys where the provider answers without any: that is a fault of the
// provider's, and nobody could be signed in.
type heldStorage struct{ jwkset.Storage }

// KeyReplaceAll implements [jwkset.Storage].
func (s heldStorage) KeyReplaceAll(ctx context.Context, keys []jwkset.JWK) error {
	if len(keys) == 0 {
		return errors.New("the set has no key that can be used")
	}
	return s.Storage.KeyReplaceAll(ctx, keys)
}

// boundedTransport cuts answers that no key set has.
type boundedTransport struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	w, err := next.RoundTrip(r)
	if err == nil {
		w.Body = boundedBody{io.LimitReader(w.Body, maxSet), w.Body}
	}
	return w, err
}

type boundedBody struct {
	io.Reader
	io.Closer
}
