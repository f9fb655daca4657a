"""The users of a Redis: what each may do, as rules of its ACL.

docker-compose.yml and k8s/ repeat the rules; a test compares them.
"""

_CONNECTION = (
    "+ping +auth +hello +echo +quit +reset +select +readonly +readwrite +asking +command +client|id +client|getname "
    "+client|setname +cluster|slots +cluster|shards +cluster|nodes +cluster|myid"
)

REDIS_USERS = {
    "reader": f"resetchannels %R~* -@all +hmget +hget +hgetall +exists {_CONNECTION}",
    "writer": (
        "resetchannels ~* -@all +@read +@write +@transaction -@dangerous -@blocking -@pubsub -function "
        f"+eval +evalsha {_CONNECTION}"
    ),
}
"""The rules of each user by its name, without its password.

`reader` is for feature servers: it reads rows of keys that it is asked for, and can't list keys. `writer` is for jobs:
it also writes, lists, and runs the script that lets the newest row win. Neither may change settings, users or
functions, empty the database, or see what others do.
"""
