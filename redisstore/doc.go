// Package redisstore keeps the activity of sessions in Redis or Valkey: for applications
// whose sessions are touched more often than one database can write.
//
//	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"redis:6379"}})
//	if err != nil { … }
//	store, err := redisstore.Activity(durable, client, nil)
//	if err != nil { … }
//	tracker, err := sessiontrack.New(store, nil)
//
// [Activity] is a store in two halves. Touches, presence, counts and lists of who is online
// lie in Redis; sign-ins, ends and all else lie in the durable store, such as a
// [sessiontrack.BunStore]. All of Redis may be lost: nobody is signed out, and nobody is
// called idle.
//
// One server, Sentinel and Cluster work alike, from Redis 7.0 and Valkey 8 on: the client
// is the host's own. Keys of one user lie in one hash slot.
package redisstore
