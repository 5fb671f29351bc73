package sessiontrack

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/useragent"
)

const (
	// describeQueue bounds the sessions that wait to be described. What does not fit
	// is dropped, counted, and tried again at a later touch.
	describeQueue = 4096
	// describeBatch is the number of updates in one write.
	describeBatch = 200
	// knownDevices is how many earlier sessions are compared to decide whether a device is new.
	knownDevices = 100
)

// describer tells what a request shows of its client, and finds in the background what
// takes longer: names of devices, places of addresses.
type describer struct {
	privacy    privacy
	limits     sessionLimits
	locates    bool // Options.Locator is set
	classifier *Classifier
	interval   time.Duration // FlushInterval

	backend *backend
	near    *near
	host    *host

	queue chan *describeJob
}

// sessionLimits are the limits of a new session.
type sessionLimits struct {
	lifetime, idle time.Duration
	max            int
	policy         LimitPolicy
}

func (d *describer) init(o *Options, n *near) {
	d.privacy = privacy{o.AddressMode, o.AddressKey, o.UserAgentMode}
	d.limits = sessionLimits{o.Lifetime, o.idleFor(), o.MaxSessions, o.LimitPolicy}
	d.locates, d.classifier, d.interval = o.Locator != nil, o.Classifier, o.FlushInterval
	d.backend, d.near, d.host = n.backend, n, n.host
	d.queue = make(chan *describeJob, describeQueue)
}

// newSession returns the session to be created for a request.
func (d *describer) newSession(r *http.Request, userID string, h handle) NewSession {
	seen := d.observe(r)
	agent, hints := d.privacy.keptAgent(seen)
	return NewSession{
		agent: seen.userAgent, hints: seen.hints,
		Session: Session{
			ID: h.id(), UserID: userID,
			Address: seen.address, AddressSource: seen.source, LoginAddress: seen.address, LoginAddressSource: seen.source,
			UserAgent: agent, ClientHints: hints, Device: seen.device,
		},
		Lifetime: d.limits.lifetime, IdleTimeout: d.limits.idle, Limit: d.limits.max, Policy: d.limits.policy,
	}
}

// observe reads the client's data from a request.
func (d *describer) observe(r *http.Request) observation {
	var o observation
	o.address, o.source = d.addressOf(r)
	agent, hints := useragent.Clean(r.UserAgent()), useragent.Hints(r.Header)
	o.userAgent, o.hints = agent, hints
	o.device = d.deviceAtOnce(agent, hints)
	return o
}

// deviceAtOnce is what can be said of a device without delay: all of one whose user agent
// was described before, else its type.
func (d *describer) deviceAtOnce(agent, hints string) (device Device) {
	named := false
	d.host.contain("Classifier", func() { device, named = d.classifier.known(agent, hints) })
	if !named {
		return Device{Type: DeviceType(useragent.Type(agent, hints))}
	}
	return d.privacy.keptDevice(device)
}

// addressOf returns the client's address by the host's strategy, masked by Options.AddressMode.
func (d *describer) addressOf(r *http.Request) (netip.Addr, string) {
	d.host.noticeForwarded(r)
	found := d.host.address(r)
	kept := d.privacy.keptAddress(found.Addr)
	if !kept.IsValid() {
		return netip.Addr{}, ""
	}
	return kept, found.Source
}

// describeJob is a session that is described outside of the request path. agent and hints are as
// the client sent them; the session has only what may be kept.
type describeJob struct {
	session Session
	agent   string
	hints   string
	device  bool           // find the device's names
	place   bool           // find the location of network.Address
	network *ClientNetwork // set if the address differs from the stored one
	until   time.Time      // the credential's later expiry
	login   bool           // afterwards check whether the device is new to the user
}

// describeLogin queues the facts that a new session lacks.
func (d *describer) describeLogin(s Session, agent, hints string) {
	d.enqueue(&describeJob{
		session: s, agent: agent, hints: hints, device: true, login: true,
		place: s.Address.IsValid() && d.locates,
	})
}

// enqueueUpdate looks at what else a touch may bring: another address, a later end of the
// credential, a device that has no names yet.
func (d *describer) enqueueUpdate(r *http.Request, e *entry, until time.Time) {
	job := &describeJob{device: e.facts.Value().device.Source == ""}
	if address, source := d.addressOf(r); address != e.address.addr() {
		job.network = &ClientNetwork{Address: address, Source: source}
		job.place = address.IsValid() && d.locates
	}
	if e.credentialUntil != 0 && micros(until)+credentialLeeway.Microseconds() > e.credentialUntil {
		job.until = until.Add(credentialLeeway)
	}
	if job.device || job.network != nil || !job.until.IsZero() {
		seen := d.observe(r)
		job.session, job.agent, job.hints = e.session(), seen.userAgent, seen.hints
		d.enqueue(job)
	}
}

// enqueue queues a job. Before Start there is nobody to do it.
func (d *describer) enqueue(job *describeJob) {
	run := d.near.life.Begin()
	if run == nil {
		return
	}
	defer run.Done()
	select {
	case d.queue <- job:
	default:
		d.host.count(countDescribeDropped, 1)
	}
}

// run names devices and finds places until ctx is done, and writes what it
// found every FlushInterval, or sooner where much has come together.
func (d *describer) run(ctx context.Context) {
	d.host.contain("Classifier", func() { d.classifier.warm(ctx) })
	ticker := time.NewTicker(d.interval)
	defer ticker.Stop()
	var batch []*describeJob
	var found []SessionUpdate
	for {
		select {
		case <-ctx.Done(): // the results are written; a later touch queues the remaining jobs again
			if len(batch) > 0 {
				d.write(context.WithoutCancel(ctx), batch, found)
			}
			return
		case job := <-d.queue:
			batch, found = append(batch, job), append(found, d.describeOne(ctx, job))
			if len(batch) < describeBatch {
				continue
			}
		case <-ticker.C:
		}
		if len(batch) > 0 {
			d.write(ctx, batch, found)
			batch, found = nil, nil
		}
	}
}

// describeOne does the slow part of a job.
func (d *describer) describeOne(ctx context.Context, job *describeJob) SessionUpdate {
	f := SessionUpdate{ID: job.session.ID, Network: job.network, CredentialUntil: job.until}
	if job.device {
		d.host.contain("Classifier", func() {
			device := d.privacy.keptDevice(d.classifier.describe(job.agent, job.hints))
			f.Device = &device
		})
	}
	if job.place {
		network := ClientNetwork{Address: job.session.Address, Source: job.session.AddressSource}
		if job.network != nil {
			network = *job.network
		}
		network.Location = d.host.locate(ctx, network.Address)
		if job.network != nil || !network.Location.IsZero() {
			f.Network = &network
		}
	}
	return f
}

// write stores what was found and shows it to the sessions that are cached.
func (d *describer) write(ctx context.Context, batch []*describeJob, found []SessionUpdate) {
	if err := d.backend.describe(detached(ctx), found); err != nil {
		d.host.count(countDescribeDropped, len(found))
		d.host.log.LogAttrs(ctx, warn, "sessiontrack: devices and locations were not written and will be retried",
			countAttr(len(found)), errAttr(err))
		return
	}
	for i, f := range found {
		if h, ok := parseHandle(f.ID); ok {
			d.near.cache.describe(h, f)
		}
		if batch[i].login && f.Device != nil && d.host.hooks.NewDevice != nil {
			s := batch[i].session
			s.Device = *f.Device
			d.askNewDevice(ctx, s)
		}
	}
}

// askNewDevice calls the NewDevice hook if no earlier session of the user has a device of the same
// family.
func (d *describer) askNewDevice(ctx context.Context, s Session) {
	page, err := d.backend.list(detached(ctx), Query{UserID: s.UserID, Limit: knownDevices})
	if err != nil {
		d.host.count(countHookDropped, 1)
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
		d.host.hook(ctx, "Hooks.NewDevice", func(ctx context.Context) { d.host.hooks.NewDevice(ctx, s) })
	}
}
