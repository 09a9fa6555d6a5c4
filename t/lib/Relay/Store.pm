package Relay::Store;

# A control plane in miniature for the tests of the store: a private
# redis-server, the keys that sign and seal, and a publisher of documents, heads
# and relay keys as ngx_relay_module/STORE.md says. What it writes can be bent
# in every way, since the store is not to be believed.

=head1 SYNOPSIS

    my $store = Relay::Store->new;                 # options: see "new"
    my $t = $store->nginx(workers => 2);           # a Relay::Test with the directives
    $t->start;
    my $config = relay_config(a => $mock);
    $store->publish('workspace/default' => $store->sealed($config));
    $store->key(name => 'app', policy => 'default', secret => $key);
    ok $store->applied($t, 1), 'both workers serve revision 1';

=cut

use strict;
use warnings;
use Carp qw(croak);
use Crypt::AuthEnc::GCM qw(gcm_encrypt_authenticate);
use Crypt::PK::Ed25519;
use Crypt::PRNG qw(random_bytes);
use Digest::SHA qw(sha256_hex);
use File::Temp ();
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);
use POSIX qw(WNOHANG);
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(sleep time);

use Relay::Mock;
use Relay::Test ();

my $json = JSON::PP->new->canonical->utf8;
my @instances;

# Options: tcp (a port of 127.0.0.1 instead of a socket), tls (the same with
# TLS), acl (lines for the users of the store), prefix ("relay:"), state (1: a
# state directory), user, password (for nginx).
sub new {
    my ($class, %o) = @_;
    my $self = bless {prefix => 'relay:', state => 1, deployment => 'deployment-1', revision => 0,
        key_revision => 0, documents => {}, owner => $$, %o,
        dir => File::Temp->newdir('relay-store-XXXXXX', TMPDIR => 1)}, $class;
    chmod 0755, "$self->{dir}";
    $self->{tcp} = 1 if $self->{tls};
    $self->{port} = Relay::Test::free_port() if $self->{tcp};
    $self->{signer} = $self->new_signer('sign-1');
    $self->{dataplane} = {id => 'data-1', key => random_bytes(32)};
    $self->write_keys;
    push @instances, $self;
    $self->start;
    return $self;
}

sub dir { "$_[0]{dir}" }

sub new_signer {
    my ($self, $id) = @_;
    my $key = Crypt::PK::Ed25519->new;
    $key->generate_key;
    return {id => $id, key => $key};
}

# The files that nginx reads.
sub write_keys {
    my ($self) = @_;
    $self->write_file('verify.keys', "# public halves\n$self->{signer}{id} "
        . encode_base64url($self->{signer}{key}->export_key_raw('public')) . "\n");
    $self->write_file('seal.keys', "$self->{dataplane}{id} " . encode_base64url($self->{dataplane}{key}) . "\n");
}

sub write_file {
    my ($self, $name, $bytes) = @_;
    open my $f, '>:raw', "$self->{dir}/$name" or croak "$name: $!";
    print {$f} $bytes;
    close $f or croak "$name: $!";
    return "$self->{dir}/$name";
}

# ---- redis-server -----------------------------------------------------------

sub start {
    my ($self) = @_;
    my $dir = $self->dir;
    my @lines = ("dir $dir", 'save ""', 'appendonly no', 'daemonize no', "unixsocket $dir/redis.sock",
        'unixsocketperm 777', 'loglevel warning', "logfile $dir/redis.log");
    if ($self->{tls}) {
        my $leaf = Relay::Mock->certificate(names => ['localhost', '127.0.0.1']);
        push @lines, 'port 0', "tls-port $self->{port}", "tls-cert-file $leaf->{cert}",
            "tls-key-file $leaf->{key}", 'tls-auth-clients no';
    } else {
        push @lines, $self->{port} ? ("port $self->{port}", 'bind 127.0.0.1') : 'port 0';
    }
    $self->write_file('users.acl', join '', map { "$_\n" } 'user default on nopass ~* &* +@all', @{$self->{acl} || []});
    push @lines, "aclfile $dir/users.acl" if $self->{acl};
    $self->write_file('redis.conf', join '', map { "$_\n" } @lines);
    defined(my $pid = fork) or croak "fork: $!";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$dir/redis.out";
        open STDERR, '>&', \*STDOUT;
        exec 'redis-server', "$dir/redis.conf" or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    Relay::Test::wait_for(5, sub { $self->connect }) or croak 'redis-server did not start: '
        . Relay::Test::slurp("$dir/redis.log") . Relay::Test::slurp("$dir/redis.out");
    return $self;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    delete $self->{socket};
    kill CONT => $pid;
    kill KILL => $pid;
    waitpid $pid, 0;
    unlink "$self->{dir}/redis.sock";
}

# Frozen: it takes connections and commands and answers nothing.
sub freeze { kill STOP => $_[0]{pid} }
sub thaw { kill CONT => $_[0]{pid} }

sub connect {
    my ($self) = @_;
    return $self->{socket} ||= do {
        my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => "$self->{dir}/redis.sock") or return;
        $socket->autoflush(1);
        $self->{socket} = $socket;
        (eval { $self->command('PING') } || '') eq 'PONG' ? $socket : (delete $self->{socket}, undef)[1];
    };
}

# One command; its reply as a scalar or an array reference.
sub command {
    my ($self, @words) = @_;
    my $socket = $self->{socket} || $self->connect || croak 'no connection to redis-server';
    utf8::encode($_) for grep { utf8::is_utf8($_) } @words;
    print {$socket} join '', "*" . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
    return _reply($socket);
}

sub _reply {
    my ($socket) = @_;
    local $/ = "\r\n";
    defined(my $line = readline $socket) or croak 'redis-server closed the connection';
    chomp $line;
    my ($type, $rest) = (substr($line, 0, 1), substr $line, 1);
    croak "redis-server: $rest" if $type eq '-';
    return $rest if $type eq '+' || $type eq ':';
    return $rest < 0 ? undef : [map { _reply($socket) } 1 .. $rest] if $type eq '*';
    return undef if $rest < 0;
    my ($bytes, $n) = ('', $rest + 2);
    while (length $bytes < $n) { read $socket, $bytes, $n - length $bytes, length $bytes or croak 'cut' }
    return substr $bytes, 0, $rest;
}

# ---- what is published ------------------------------------------------------

sub encode { my ($self, $value) = @_; return ref $value ? $json->encode($value) : $value }

sub sign {
    my ($self, $purpose, $bytes, $signer) = @_;
    $signer ||= $self->{signer};
    return "$signer->{id} " . encode_base64url($signer->{key}->sign_message("$purpose\0$bytes"));
}

# A configuration whose provider keys are sealed for the workspace, without its
# relay keys. Options: workspace ("default"), version (1), and for bending:
# origin, name, key (another data-plane key).
sub sealed {
    my ($self, $config, %o) = @_;
    my %out = %$config;
    delete $out{relay_keys};
    $out{provider_keys} = {map { ($_ => $self->seal_key($config, $_, %o)) } keys %{$config->{provider_keys}}};
    return \%out;
}

sub seal_key {
    my ($self, $config, $name, %o) = @_;
    my %key = %{$config->{provider_keys}{$name}};
    my $value = delete $key{value};
    return {%key, value => ''} if $value eq '';
    my $version = $o{version} || 1;
    my $origin = $o{origin} || _origin($config->{hosts}{$key{host}}{base_url});
    my @parts = ('relay-dataplane-1', $o{workspace} || 'default', $o{name} || $name, $version, $origin);
    return {%key, version => $version, sealed => $self->seal($value, \@parts, $o{key})};
}

sub seal {
    my ($self, $plain, $parts, $key) = @_;
    $key ||= $self->{dataplane};
    my $nonce = random_bytes(12);
    my ($text, $tag) = gcm_encrypt_authenticate('AES', $key->{key}, $nonce,
        join('', map { pack('N', length) . $_ } @$parts), $plain);
    return "$key->{id}." . encode_base64url($nonce . $text . $tag);
}

sub _origin {
    my ($url) = @_;
    my ($scheme, $name, $port) = $url =~ m{^(https?)://([^/:]+)(?::(\d+))?} or croak "no origin: $url";
    return lc "$scheme://$name:" . ($port || ($scheme eq 'https' ? 443 : 80));
}

# The documents of the next revision: those of the last one, with these over
# them (undef takes one away). Writes documents and head, then says so.
sub publish {
    my ($self, %documents) = @_;
    while (my ($name, $value) = each %documents) {
        defined $value ? $self->{documents}{$name} = $self->encode($value) : delete $self->{documents}{$name};
    }
    $self->{revision}++;
    $self->put_documents;
    $self->put_head($self->head);
    return $self->{revision};
}

sub put_documents {
    my ($self) = @_;
    $self->command('SET', "$self->{prefix}document:" . sha256_hex($_), $_) for values %{$self->{documents}};
}

# A head as it is stored. Options, to bend it: revision, deployment, signer,
# purpose, documents (the list), more (members), text (the payload as it is).
sub head {
    my ($self, %o) = @_;
    my $payload = defined $o{text} ? $o{text} : $json->encode({deployment => $o{deployment} || $self->{deployment},
        revision => $o{revision} || $self->{revision}, issued_at => int time,
        documents => $o{documents} || $self->listed, %{$o{more} || {}}});
    return $self->sign($o{purpose} || 'relay-head-1', $payload, $o{signer}) . "\n$payload";
}

sub listed {
    my ($self) = @_;
    return [map { {name => $_, sha256 => sha256_hex($self->{documents}{$_}),
        bytes => length $self->{documents}{$_}} } sort keys %{$self->{documents}}];
}

sub put_head {
    my ($self, $head) = @_;
    $self->command('SET', "$self->{prefix}head", $head);
    $self->command('PUBLISH', "$self->{prefix}changes", "head $self->{revision}");
}

# One relay key: secret (the key itself) and members of the record. Options, to
# bend it: signer, purpose, digest (stored under another one), silent.
sub key {
    my ($self, %o) = @_;
    my ($signer, $purpose, $digest, $silent) = delete @o{qw(signer purpose digest silent)};
    my $sha256 = sha256_hex(delete $o{secret});
    my $record = $json->encode({sha256 => $sha256, id => "rk_$o{name}", workspace => 'default',
        policy => 'default', revision => ++$self->{key_revision}, %o});
    $self->put_key($digest || $sha256, $record, $self->sign($purpose || 'relay-key-1', $record, $signer), $silent);
    return $record;
}

sub put_key {
    my ($self, $digest, $record, $signature, $silent) = @_;
    $self->command('HSET', "$self->{prefix}key:$digest", 'record', $record, 'signature', $signature);
    $self->command('PUBLISH', "$self->{prefix}changes", "key $digest") unless $silent;
}

sub drop_key {
    my ($self, $secret) = @_;
    $self->command('DEL', "$self->{prefix}key:" . sha256_hex($secret));
    $self->command('PUBLISH', "$self->{prefix}changes", 'key ' . sha256_hex($secret));
}

# What the workers say: field => structure.
sub nodes {
    my ($self) = @_;
    my %fields = @{$self->command('HGETALL', "$self->{prefix}nodes")};
    return {map { ($_ => $json->decode($fields{$_})) } keys %fields};
}

# True once every worker of $t says that it serves the revision, or refuses it.
sub applied { my ($self, $t, $revision, $seconds) = @_; $self->_all($t, $seconds, sub { $_[0]{state} eq 'applied' && $_[0]{revision} == $revision }) }
sub refused { my ($self, $t, $revision, $seconds) = @_; $self->_all($t, $seconds, sub { $_[0]{state} eq 'refused' && ($_[0]{refused_revision} || 0) == $revision }) }

sub _all {
    my ($self, $t, $seconds, $good) = @_;
    return Relay::Test::wait_for($seconds || 5, sub {
        my %worker = map { $_ => 1 } $t->workers;
        %worker && keys(%worker) == grep { $worker{$_->{pid}} && $good->($_) } values %{$self->nodes};
    });
}

# The reason that a worker of $t gives, or "".
sub reason {
    my ($self, $t) = @_;
    my %worker = map { $_ => 1 } $t->workers;
    my ($node) = grep { $worker{$_->{pid}} } values %{$self->nodes};
    return $node && defined $node->{reason} ? $node->{reason} : '';
}

# ---- nginx ------------------------------------------------------------------

# The directives. Options: url, and text behind them.
sub directives {
    my ($self, %o) = @_;
    my $dir = $self->dir;
    my $url = $o{url} || ($self->{tls} ? "rediss://localhost:$self->{port}"
        : $self->{port} ? "redis://127.0.0.1:$self->{port}" : "unix:$dir/redis.sock");
    my @lines = ("relay_store $url", "relay_store_verify_keys $dir/verify.keys",
        "relay_store_seal_keys $dir/seal.keys", 'relay_node test-node');
    push @lines, "relay_store_prefix $self->{prefix}" if $self->{prefix} ne 'relay:';
    push @lines, "relay_store_state $dir/state" if $self->{state};
    push @lines, "relay_store_user $self->{user}" if $self->{user};
    push @lines, 'relay_store_password file:' . $self->write_file('password', "$self->{password}\n") if $self->{password};
    push @lines, 'relay_store_ca_file ' . Relay::Mock->ca_file if $self->{tls};
    return join '', map { "    $_;\n" } @lines;
}

# A Relay::Test with the store's directives and, unless files is given, without
# relay_config. Further options are those of Relay::Test; user: of the workers.
sub nginx {
    my ($self, %o) = @_;
    my ($files, $user, $url) = delete @o{qw(files user url)};
    $o{http} = $self->directives($url ? (url => $url) : ()) . ($o{http} || '');
    push @{$o{allow}}, qr{connect\(\) to \S+ failed};
    my $t = Relay::Store::Nginx->new(%o);
    @$t{qw(without_files worker_user)} = (!$files, $user);
    return $t;
}

END {
    my $status = $?;
    for my $self (@instances) { $self->stop if $self->{owner} == $$ }
    $? = $status;
}

package Relay::Store::Nginx;

our @ISA = ('Relay::Test');

sub _conf {
    my ($self) = @_;
    my $text = $self->SUPER::_conf;
    $text =~ s/^\s*relay_config .*\n//m if $self->{without_files};
    $text =~ s/^user root;/user $self->{worker_user};/m if $self->{worker_user};
    return $text;
}

1;
