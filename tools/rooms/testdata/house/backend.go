package house

type backend struct{ store Store }

func (b *backend) get() int { return b.store.Get() + Height }
