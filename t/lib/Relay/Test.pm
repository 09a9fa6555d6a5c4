package Relay::Test;

# The harness of the end-to-end tests: one nginx with the module in a directory
# of its own, the scripted mock provider, clients, and the last checks that
# every file must pass. All other packages of t/lib are loaded from here.

=head1 SYNOPSIS

    use lib 't/lib';
    use Relay::Test;                       # strict, warnings, Test::More, sse_ok ...

    my $a = Relay::Mock->new(on => sub { {status => 529, body => {error => {}}} });
    my $b = Relay::Mock->new(on => sub { my ($req) = @_; sse([chat_stream()]) });
    my $t = Relay::Test->new;              # options: see "new"
    $t->relay(relay_config(a => $a, b => $b));          # a is tried first
    $t->start;
    my $res = $t->post('/v1/chat/completions', {model => 'm', stream => \1});
    is $res->status, 200;
    is $res->header('x-relay-attempts'), 2;
    sse_ok chat => $res->body, 'X4 the stream is whole';
    is $b->request(0)->key, secret('b');
    is $t->log(0)->{host}, 'b';            # the access log, waits for the entry
    my $c = $t->client;                    # a raw connection: Relay::Client
    $c->request(POST => '/v1/messages', headers => auth('x-api-key'), body => {...});
    my $h2 = $t->post('/v1/messages', {...}, http2 => 1);
    $t->done;                              # stops, last checks, done_testing

C<relay_config> takes pairs name => mock | URL | {mock | base_url, further
members of the host}, and leading options in a hash: formats, timeouts, policy
(members of the policy), model (members), models, keys. It makes the host, the
model "m" with offers "up-NAME", the provider key "kNAME" = secret(NAME), the
pool "p" in the given order, the policy "default" and the relay key RELAY_KEY.

=cut

use strict;
use warnings;
use Carp qw(croak);
use Cwd ();
use File::Basename ();
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use POSIX qw(WNOHANG);
use Test::More ();
use Time::HiRes qw(time sleep);

use Relay::Client;
use Relay::Dns;
use Relay::Mock;
use Relay::Sse;

use constant RELAY_KEY => 'test-relay-key-000000001';

my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../..');
my (@instances, $finished, %version);
my $next_port = 20000 + $$ * 31 % 12000;

sub import {
    strict->import;
    warnings->import;
    my $caller = caller;
    no strict 'refs';
    *{"${caller}::$_"} = \&{"Relay::Test::$_"}
        for qw(relay_config secret auth RELAY_KEY free_port wait_for slurp);
    eval "package $caller; Test::More->import; Relay::Mock->import; Relay::Sse->import;"
        . ' use Time::HiRes qw(time sleep); 1' or die $@;
    Test::More->builder->failure_output(\*STDERR);
}

$SIG{INT} = $SIG{TERM} = sub { exit 1 };
$SIG{PIPE} = 'IGNORE';

# ---- the configuration ------------------------------------------------------

sub secret { "secret-$_[0]-0123456789abcdef" }

# Request headers that carry the relay key: auth(), auth('x-api-key').
sub auth {
    my ($style, $key) = (shift || 'bearer', shift || RELAY_KEY);
    return ['Authorization', "Bearer $key"] if $style eq 'bearer';
    return [$style, $key];
}

sub relay_config {
    my %o = ref $_[0] eq 'HASH' ? %{+shift} : ();
    my (%hosts, %keys, @offers, @members);
    while (my ($name, $host) = splice @_, 0, 2) {
        my %h = ref $host eq 'HASH' ? %$host : ref $host ? (mock => $host) : (base_url => $host);
        my $mock = delete $h{mock};
        my $offer = delete $h{offer} || {};
        my $value = delete $h{secret} || secret($name);
        $h{base_url} = $mock->url . '/v1' if $mock && !$h{base_url};
        if ($mock && $mock->{tls} && !$h{tls}) { $h{tls} = {ca_file => $mock->ca_file, name => $mock->tls_name} }
        $hosts{$name} = {formats => $o{formats}
            || [qw(openai-chat openai-responses openai-embeddings anthropic-messages)],
            local => JSON::PP::true(), $o{timeouts} ? (timeouts => $o{timeouts}) : (), %h};
        $keys{"k$name"} = {host => $name, value => $value};
        push @offers, {host => $name, id => "up-$name", %$offer};
        push @members, {key => "k$name", priority => scalar @members};
    }
    return {
        hosts => \%hosts,
        models => {m => {offers => \@offers, %{$o{model} || {}}}, %{$o{models} || {}}},
        provider_keys => {%keys, %{$o{keys} || {}}},
        pools => {p => {members => \@members}},
        policies => {default => {pools => ['p'], %{$o{policy} || {}}}},
        relay_keys => {k => {policy => 'default', key => RELAY_KEY}},
    };
}

# ---- an instance ------------------------------------------------------------

# Options: main, http, server, location (configuration text for these blocks),
# workers (1), resolver (a Relay::Dns or text), http2 (a second port for h2
# without TLS), tls (a third port, TLS with h1 and h2), module (0: without),
# pass (text instead of "relay_pass;"), allow ([regex ...] of log lines that
# the last checks forgive), env (names kept for workers), log_level (of the
# error log: info).
sub new {
    my ($class, %o) = @_;
    my $self = bless {workers => 1, module => 1, allow => [], owner => $$, %o,
        dir => File::Temp->newdir('relay-XXXXXX', TMPDIR => 1, CLEANUP => $ENV{RELAY_KEEP} ? 0 : 1)},
        $class;
    chmod 0755, "$self->{dir}";
    mkdir "$self->{dir}/temp";
    $self->{port} = free_port();
    $self->{http2_port} = free_port() if $o{http2};
    $self->{tls_port} = free_port() if $o{tls};
    push @instances, $self;
    return $self;
}

sub dir { "$_[0]{dir}" }
sub port { $_[0]{port} }
sub url { "http://127.0.0.1:$_[0]{port}" }
sub http2_url { "http://127.0.0.1:$_[0]{http2_port}" }
sub tls_url { "https://localhost:$_[0]{tls_port}" }
sub pid { $_[0]{pid} }

# Below the ephemeral range, so that no outgoing connection takes it meanwhile.
sub free_port {
    for (1 .. 500) {
        $next_port = 20000 if ++$next_port > 32000;
        my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $next_port,
            Proto => 'tcp', Listen => 1, ReuseAddr => 1) or next;
        return $next_port;
    }
    croak 'no free port';
}

sub write_file {
    my ($self, $name, $bytes) = @_;
    my $path = "$self->{dir}/$name";
    open my $f, '>:raw', $path or croak "$path: $!";
    print {$f} $bytes;
    close $f or croak "$path: $!";
    return $path;
}

# Writes relay.json: a structure, or text as it is.
sub relay {
    my ($self, $config) = @_;
    $self->{config} = $config if ref $config;
    $self->write_file('relay.json',
        ref $config ? JSON::PP->new->canonical->pretty->utf8->encode($config) : $config);
    return $self;
}

sub nginx_binary { $ENV{RELAY_NGINX} || '/usr/sbin/nginx' }

sub _version {
    my $binary = nginx_binary();
    return $version{$binary} ||= do {
        my $text = qx{$binary -V 2>&1};
        my ($major, $minor, $patch) = $text =~ m{nginx/(\d+)\.(\d+)\.(\d+)} or croak "$binary -V: $text";
        {number => $major * 1000000 + $minor * 1000 + $patch, text => $text};
    };
}

sub _conf {
    my ($self) = @_;
    my $dir = "$self->{dir}";
    my $module = $ENV{RELAY_MODULE} || "$root/build/ngx_relay_module.so";
    my $main = $self->{module} && $module ne 'static' ? "load_module $module;\n" : '';
    $main .= "user root;\n" if $> == 0;
    $main .= "env $_;\n" for @{$self->{env} || []};
    my $temp = '';
    for (qw(client_body proxy fastcgi uwsgi scgi)) {
        next if $_ ne 'client_body' && _version()->{text} =~ /--without-http_${_}_module/;
        $temp .= "    ${_}_temp_path $dir/temp/$_;\n";
    }
    my $resolver = $self->{resolver} || '';
    $resolver = '127.0.0.1:' . $resolver->port . ' valid=1s ipv6=off' if ref $resolver;
    my $level = $self->_log_level;
    return <<"END";
$main${\($self->{main} || '')}
daemon off;
worker_processes $self->{workers};
worker_shutdown_timeout 20s;
pid $dir/nginx.pid;
error_log $dir/error.log $level;
events { worker_connections 1024; }
http {
$temp    log_format relay escape=json '${\$self->_log_format}';
    access_log $dir/access.log relay;
    keepalive_timeout 10s;
    client_header_timeout 5s;
    client_body_timeout 5s;
    send_timeout 5s;
    lingering_timeout 1s;
@{[$resolver ? "    resolver $resolver;\n    resolver_timeout 2s;" : '']}
@{[$self->{module} ? "    relay_config $dir/relay.json;" : '']}
${\($self->{http} || '')}
    server {
${\$self->_listen}
        server_name localhost;
${\($self->{server} || '')}
        location / {
            ${\(defined $self->{pass} ? $self->{pass} : 'relay_pass;')}
${\($self->{location} || '')}
        }
    }
}
END
}

sub _log_level { my ($self) = @_; $ENV{RELAY_DEBUG} ? 'debug' : $self->{log_level} || 'info' }

sub _listen {
    my ($self) = @_;
    my $new = _version()->{number} >= 1025001;
    my $text = "        listen 127.0.0.1:$self->{port};\n";
    my $h2 = $new ? '' : ' http2';
    $text .= "        http2 on;\n" if $new && ($self->{http2_port} || $self->{tls_port});
    $text .= "        listen 127.0.0.1:$self->{http2_port}$h2;\n" if $self->{http2_port};
    if ($self->{tls_port}) {
        my $leaf = Relay::Mock->certificate(names => ['localhost', '127.0.0.1']);
        $text .= "        listen 127.0.0.1:$self->{tls_port} ssl$h2;\n"
            . "        ssl_certificate $leaf->{cert};\n        ssl_certificate_key $leaf->{key};\n";
    }
    return $text;
}

sub _log_format {
    my ($self) = @_;
    my %field = (status => 'status', time => 'msec', uri => 'request_uri', method => 'request_method',
        bytes => 'body_bytes_sent', duration => 'request_time', protocol => 'server_protocol',
        upstream_status => 'upstream_status', upstream_addr => 'upstream_addr');
    if ($self->{module}) {
        $field{$_} = "relay_$_" for qw(request_id key_id policy model host attempts input_tokens
            output_tokens cached_tokens finish_reason dropped first_token_ms overhead_us thread_us error);
    }
    return '{' . join(',', map { "\"$_\":\"\$$field{$_}\"" } sort keys %field) . '}';
}

# A module loaded by nginx has globals of the same names as others, and what
# nginx allocates for its configuration it never frees.
sub _sanitizer_options {
    my ($self) = @_;
    return (join(':', grep {length} $ENV{ASAN_OPTIONS}, 'detect_odr_violation=0', 'detect_leaks=0',
            'abort_on_error=0', "log_path=$self->{dir}/sanitizer"),
        join(':', grep {length} $ENV{UBSAN_OPTIONS}, 'print_stacktrace=1'));
}

# Writes nginx.conf, starts nginx and waits until it listens. False (and the
# text in $t->{start_error}) if it does not come up; dies unless "may_fail".
sub start {
    my ($self, %o) = @_;
    $self->write_file('nginx.conf', $self->_conf);
    local @ENV{qw(ASAN_OPTIONS UBSAN_OPTIONS)} = $self->_sanitizer_options;
    my $pid = fork;
    croak "fork: $!" unless defined $pid;
    if (!$pid) {
        open STDERR, '>>', "$self->{dir}/stderr";
        open STDOUT, '>&', \*STDERR;
        open STDIN, '<', '/dev/null';
        exec nginx_binary(), '-p', "$self->{dir}/", '-e', "$self->{dir}/error.log",
            '-c', "$self->{dir}/nginx.conf" or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    return $self if wait_for(10, sub { $self->_listens || waitpid($pid, WNOHANG) == $pid })
        && $self->_listens;
    delete $self->{pid} if waitpid($pid, WNOHANG) == $pid || !kill 0, $pid;
    $self->{start_error} = slurp("$self->{dir}/stderr") . $self->error_log;
    return 0 if $o{may_fail};
    croak "nginx did not start:\n$self->{start_error}";
}

sub _listens {
    my ($self) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 1);
}

# nginx -t: {ok, text}.
sub check {
    my ($self) = @_;
    $self->write_file('nginx.conf', $self->_conf);
    local @ENV{qw(ASAN_OPTIONS UBSAN_OPTIONS)} = $self->_sanitizer_options;
    my $binary = nginx_binary();
    my $text = qx{$binary -p $self->{dir}/ -e $self->{dir}/check.log -c $self->{dir}/nginx.conf -t 2>&1};
    return {ok => $? == 0 ? 1 : 0, text => $text};
}

sub workers {
    my ($self) = @_;
    return () unless $self->{pid};
    return split ' ', slurp("/proc/$self->{pid}/task/$self->{pid}/children");
}

# SIGHUP; waits for the new workers, or for the error of a broken file.
# True if the new configuration was taken.
sub reload {
    my ($self) = @_;
    my %old = map { $_ => 1 } $self->workers;
    my $seen = length $self->error_log;
    kill HUP => $self->{pid};
    my $taken = 0;
    wait_for(5, sub {
        return 1 if substr($self->error_log, $seen) =~ /\[emerg\]/;
        return $taken = 1 if grep { !$old{$_} } $self->workers;
    });
    # Until they know that they are old, they may still take a connection.
    wait_for(5, sub { !grep { slurp("/proc/$_/cmdline") =~ /^nginx: worker process\0*$/ } keys %old }) if $taken;
    sleep 0.05 if $taken;
    return $taken;
}

# Graceful; true if every process left within the time.
sub stop {
    my ($self, $seconds) = @_;
    my $pid = delete $self->{pid} or return 1;
    kill QUIT => $pid;
    my $gone = wait_for($seconds || 5, sub { waitpid($pid, WNOHANG) == $pid });
    if (!$gone) {
        my @workers = split ' ', slurp("/proc/$pid/task/$pid/children");
        kill KILL => $pid, @workers;
        waitpid $pid, 0;
    }
    $self->{exit} = $gone ? $? : undef;
    return $gone;
}

# ---- clients ----------------------------------------------------------------

sub client { my ($self, %o) = @_; Relay::Client->new(port => $self->{port}, %o) }

# One request on a connection of its own. Options of Relay::Client's request,
# and: key (another relay key, undef: none), style (auth()), http2 (by curl
# without TLS), tls_http2, timeout.
sub ask {
    my ($self, $method, $path, %o) = @_;
    my $key = exists $o{key} ? $o{key} : RELAY_KEY;
    my $style = $o{style} || ($path =~ /messages/ ? 'x-api-key' : 'bearer');
    my @headers = (defined $key ? @{auth($style, $key)} : (), @{$o{headers} || []});
    if ($o{http2} || $o{tls_http2}) {
        my $url = ($o{http2} ? $self->http2_url : $self->tls_url) . $path;
        return Relay::Client->curl($method, $url, %o, headers => \@headers,
            http2 => $o{http2} ? 'prior' : 'tls');
    }
    my $c = $self->client;
    $c->request($method, $path, %o, headers => \@headers);
    my $res = $c->response($o{timeout} ? (timeout => $o{timeout}) : ());
    $res->{client} = $c if $o{keep};
    return $res;
}

sub get { my ($self, $path, %o) = @_; $self->ask(GET => $path, %o) }
sub post { my ($self, $path, $body, %o) = @_; $self->ask(POST => $path, %o, body => $body) }

# ---- what it wrote ----------------------------------------------------------

sub slurp {
    my ($path) = @_;
    open my $f, '<:raw', $path or return '';
    local $/;
    my $text = <$f>;
    return defined $text ? $text : '';
}

sub wait_for {
    my ($seconds, $done) = @_;
    my $deadline = time + $seconds;
    until ($done->()) {
        return 0 if time > $deadline;
        sleep 0.01;
    }
    return 1;
}

sub error_log { slurp("$_[0]{dir}/error.log") }

# The entries of the access log; given a count it waits for that many.
sub logs {
    my ($self, $count) = @_;
    my @entries;
    my $json = JSON::PP->new;
    wait_for($count ? 3 : 0, sub {
        @entries = map { $json->decode($_) } grep {/\S/} split /\n/, slurp("$self->{dir}/access.log");
        return @entries >= ($count || 0);
    });
    return @entries;
}

# The entry with the number; -1 means the last, -2 the one before.
sub log {
    my ($self, $n) = @_;
    return ($self->logs($n < 0 ? -$n : $n + 1))[$n] || {};
}

# The entry of one answer, by its request id.
sub log_of {
    my ($self, $res) = @_;
    my $id = $res->header('x-relay-request-id') || '';
    my $entry;
    wait_for(3, sub { ($entry) = grep { $_->{request_id} eq $id } $self->logs; $entry });
    return $entry || {};
}

# ---- the last checks --------------------------------------------------------

# Stops everything, checks all of it, and ends the test file.
sub done {
    return if $finished++;
    $_->finish for @instances;
    for my $mock (grep { !$_->{stopped} } @Relay::Mock::ALL) {
        my @open = $mock->open_connections(0, 2);
        Test::More::ok(!@open, "every connection to the mock on port $mock->{port} was closed")
            or Test::More::diag(join ' ', map { "connection $_->{n}" } @open);
    }
    Test::More::done_testing();
}

# The last checks of one instance; called by done.
sub finish {
    my ($self) = @_;
    return if $self->{finished}++;
    if ($self->{pid}) {
        my $gone = $self->stop;
        Test::More::ok($gone, 'nginx left within 5 s of a graceful stop');
        Test::More::is($self->{exit}, 0, 'and its exit status is 0') if $gone;
    }
    my @lines = $self->faults;
    Test::More::ok(!@lines, 'nothing in the error log that must not be there')
        or Test::More::diag(join "\n", @lines[0 .. ($#lines > 20 ? 20 : $#lines)]);
    my @leaks = $self->leaks;
    Test::More::ok(!@leaks, 'no secret in any log') or Test::More::diag(join "\n", @leaks);
}

# Log lines and sanitizer output that are faults.
sub faults {
    my ($self) = @_;
    my @text = ($self->error_log, slurp("$self->{dir}/stderr"),
        map { slurp($_) } glob "$self->{dir}/sanitizer.*");
    my @lines = grep {
        /\[(?:alert|emerg|crit)\]|signal 11|exited on signal|exited with (?:fatal )?code [1-9]|open socket
        |Sanitizer|runtime error:|header already sent|count is zero|upstream sent more data/x
    } map { split /\n/ } @text;
    my @allow = @{$self->{allow}};
    return grep { my $line = $_; !grep { $line =~ $_ } @allow } @lines;
}

sub leaks {
    my ($self) = @_;
    my $config = $self->{config} or return;
    my @secrets = grep { defined } map { ($_->{value}, $_->{key}) }
        map { ref $_ eq 'HASH' ? values %$_ : () } @$config{qw(provider_keys relay_keys)};
    # nginx itself writes the caller's headers to a debug log
    my $text = $self->_log_level eq 'debug' ? '' : $self->error_log;
    $text .= slurp("$self->{dir}/access.log");
    return map { "found $_" } grep { length >= 8 && index($text, $_) >= 0 } @secrets;
}

END {
    my $status = $?;
    for my $self (@instances) {
        next if $self->{owner} != $$;
        my $bad = !$finished || $status || !Test::More->builder->is_passing;
        if ($bad && -s "$self->{dir}/error.log") {
            my @tail = split /\n/, $self->error_log;
            @tail = @tail[-30 .. -1] if @tail > 30;
            Test::More::diag('the end of the error log:', map {"\n  $_"} @tail);
        }
        Test::More::diag("kept: $self->{dir}") if $ENV{RELAY_KEEP};
        kill QUIT => $self->{pid} if $self->{pid};
        $self->stop(1) if $self->{pid};
    }
    if (!$finished && @instances && $instances[0]{owner} == $$) {
        Test::More::diag('the file ended before $t->done');
        $status ||= 1;
    }
    $_->stop for @Relay::Mock::ALL;
    $? = $status;
}

1;
