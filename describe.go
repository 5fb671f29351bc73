package sessiontrack

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/useragent"
)

const (
	// describeQueue bounds the sessions that wait to be described; what does not fit
	// is dropped, counted, and tried again at a later touch.
	describeQueue = 4096
	// describeBatch is how many are written at once.
	describeBatch = 200
	// locateTimeout bounds one question to the host's Locator.
	locateTimeout = 2 * time.Second
	// knownDevices is how many earlier sessions are looked at for "a new device".
	knownDevices = 100
)

// observation is what a request shows of its client, cleaned, cut and masked before
// anything else sees it.
type observation struct {
	address   netip.Addr
	source    string
	userAgent string
	hints     string
	device    DeviceType
}

// observe looks at a request's client.
func (t *Tracker) observe(r *http.Request) observation {
	var o observation
	o.address, o.source = t.addressOf(r)
	agent, hints := useragent.Clean(r.UserAgent()), useragent.Hints(r.Header)
	o.device = DeviceType(useragent.Type(agent, hints))
	o.userAgent, o.hints = agent, hints
	return o
}

// addressOf is the client's address by the host's strategy, as far as it may be kept.
func (t *Tracker) addressOf(r *http.Request) (netip.Addr, string) {
	var found ClientAddress
	t.contain("Options.ClientIP", func() { found = t.opts.ClientIP.ClientAddress(r) })
	kept := t.opts.keptAddress(found.Addr)
	if !kept.IsValid() {
		return netip.Addr{}, ""
	}
	return kept, found.Source
}

// describeJob is a session to be described, off the request path. The agent and the
// hints are the client's own; the session has what may be kept of them.
type describeJob struct {
	session Session
	agent   string
	hints   string
	device  bool           // name the device
	place   bool           // find the place of network.Address
	network *ClientNetwork // set where the address is not the one that the store has
	until   time.Time      // the credential's later end
	login   bool           // afterwards, ask whether the device is new to the user
}

// describeLogin queues what a new session still lacks.
func (t *Tracker) describeLogin(s Session, agent, hints string) {
	t.describe(&describeJob{
		session: s, agent: agent, hints: hints, device: true, login: true,
		place: s.Address.IsValid() && t.opts.Locator != nil,
	})
}

// notice looks at what else a touch may bring: another address, a later end of the
// credential, a device that has no names yet.
func (t *Tracker) notice(r *http.Request, e *entry, until time.Time) {
	job := &describeJob{device: e.facts.Value().device.Source == ""}
	if address, source := t.addressOf(r); address != e.address.addr() {
		job.network = &ClientNetwork{Address: address, Source: source}
		job.place = address.IsValid() && t.opts.Locator != nil
	}
	if e.credentialUntil != 0 && micros(until)+credentialLeeway.Microseconds() > e.credentialUntil {
		job.until = until.Add(credentialLeeway)
	}
	if job.device || job.network != nil || !job.until.IsZero() {
		seen := t.observe(r)
		job.session, job.agent, job.hints = e.session(), seen.userAgent, seen.hints
		t.describe(job)
	}
}

// describe queues a job; before Start there is nobody to do it.
func (t *Tracker) describe(job *describeJob) {
	run := t.life.Begin()
	if run == nil {
		return
	}
	defer run.Done()
	select {
	case t.describing <- job:
	default:
		t.count(countDescribeDropped, 1)
	}
}

// runDescriber names devices and finds places until ctx is done, and writes what it
// found every FlushInterval, or sooner where much has come together.
func (t *Tracker) runDescriber(ctx context.Context) {
	t.contain("Classifier", func() { t.opts.Classifier.warm(ctx) })
	ticker := time.NewTicker(t.opts.FlushInterval)
	defer ticker.Stop()
	var batch []*describeJob
	var found []SessionUpdate
	for {
		select {
		case <-ctx.Done(): // what has been found is written; what waits is found at a later touch
			if len(batch) > 0 {
				t.writeFacts(context.WithoutCancel(ctx), batch, found)
			}
			return
		case job := <-t.describing:
			batch, found = append(batch, job), append(found, t.look(ctx, job))
			if len(batch) < describeBatch {
				continue
			}
		case <-ticker.C:
		}
		if len(batch) > 0 {
			t.writeFacts(ctx, batch, found)
			batch, found = nil, nil
		}
	}
}

// look does the slow part of a job.
func (t *Tracker) look(ctx context.Context, job *describeJob) SessionUpdate {
	f := SessionUpdate{ID: job.session.ID, Network: job.network, CredentialUntil: job.until}
	if job.device {
		t.contain("Classifier", func() {
			device := t.maskDevice(t.opts.Classifier.describe(job.agent, job.hints))
			f.Device = &device
		})
	}
	if job.place {
		network := ClientNetwork{Address: job.session.Address, Source: job.session.AddressSource}
		if job.network != nil {
			network = *job.network
		}
		network.Location = t.locate(ctx, network.Address)
		if job.network != nil || !network.Location.IsZero() {
			f.Network = &network
		}
	}
	return f
}

// maskDevice leaves of a device what Options.UserAgentMode lets be kept.
func (t *Tracker) maskDevice(d Device) Device {
	switch t.opts.UserAgentMode {
	case UserAgentFull:
		return d
	case UserAgentFamily:
		return Device{Type: d.Type, Browser: d.Browser, OS: d.OS, Source: d.Source, Ambiguous: d.Ambiguous}
	}
	return Device{Type: d.Type, Source: d.Source}
}

// maskAgent does the same for the user agent and the client hints, which are kept
// whole or not at all.
func (t *Tracker) maskAgent(o observation) (agent, hints string) {
	if t.opts.UserAgentMode != UserAgentFull {
		return "", ""
	}
	return o.userAgent, o.hints
}

// locate asks the host's Locator about a public address.
func (t *Tracker) locate(ctx context.Context, address netip.Addr) (place Location) {
	if !isPublic(address) {
		return Location{}
	}
	ctx, cancel := context.WithTimeout(ctx, locateTimeout)
	defer cancel()
	t.contain("Options.Locator", func() {
		if found, err := t.opts.Locator.Locate(ctx, address); err == nil {
			place = cleanLocation(found)
		}
	})
	return place
}

// maxPlaceName bounds each name of a place, in bytes.
const maxPlaceName = 100

// cleanLocation takes a host's words as the untrusted text they are.
func cleanLocation(l Location) Location {
	for _, field := range [...]*string{&l.CountryCode, &l.Country, &l.Region, &l.City} {
		if *field = useragent.Clean(*field); len(*field) > maxPlaceName {
			*field = ""
		}
	}
	return l
}

// writeFacts stores what was found and shows it to the sessions that are cached.
func (t *Tracker) writeFacts(ctx context.Context, batch []*describeJob, found []SessionUpdate) {
	storeCtx, cancel := t.writeContext(ctx)
	defer cancel()
	if err := t.withStore(func() error { return t.store.Describe(storeCtx, found) }); err != nil {
		t.count(countDescribeDropped, len(found))
		t.opts.Logger.LogAttrs(ctx, warn, "sessiontrack: devices and places not written, will be tried again", countAttr(len(found)), errAttr(err))
		return
	}
	for i, f := range found {
		if h, ok := parseHandle(f.ID); ok {
			t.cache.describe(h, f)
		}
		if batch[i].login && f.Device != nil && t.opts.Hooks.NewDevice != nil {
			s := batch[i].session
			s.Device = *f.Device
			t.askNewDevice(ctx, s)
		}
	}
}

// askNewDevice tells the hook where none of the user's earlier sessions shows the
// device's family.
func (t *Tracker) askNewDevice(ctx context.Context, s Session) {
	ctx, cancel := t.writeContext(ctx)
	defer cancel()
	var page Page
	err := t.withStore(func() (err error) {
		page, err = t.store.List(ctx, Query{UserID: s.UserID, Limit: knownDevices})
		return err
	})
	if err != nil {
		t.count(countHookDropped, 1)
		return
	}
	earlier := false
	for _, other := range page.Sessions {
		if other.ID == s.ID || other.Serial > s.Serial {
			continue
		}
		if earlier = true; other.Device.Family() == s.Device.Family() {
			return
		}
	}
	if earlier {
		t.hook(ctx, "Hooks.NewDevice", func(ctx context.Context) { t.opts.Hooks.NewDevice(ctx, s) })
	}
}

// newSession is what a request tells about a session to be made.
func (t *Tracker) newSession(r *http.Request, userID string, h handle) NewSession {
	seen := t.observe(r)
	agent, hints := t.maskAgent(seen)
	return NewSession{
		agent: seen.userAgent, hints: seen.hints,
		Session: Session{
			ID: h.id(), UserID: userID,
			Address: seen.address, AddressSource: seen.source, LoginAddress: seen.address, LoginAddressSource: seen.source,
			UserAgent: agent, ClientHints: hints, Device: Device{Type: seen.device},
		},
		Lifetime: t.opts.Lifetime, IdleTimeout: t.opts.idleFor(),
		Limit: t.opts.MaxSessions, Policy: t.opts.LimitPolicy,
	}
}
