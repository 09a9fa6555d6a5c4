package Relay::Surface;

# What the tests of the HTTP surface share (t/paths.t, t/auth.t, t/models.t,
# t/forward.t, t/bodies.t, t/bad_*.t, t/log.t, t/echo.t, t/config.t): the
# endpoints as data, a provider that answers each of them, and what every
# error of Relay's own must look like in the caller's dialect.

=head1 SYNOPSIS

    use Relay::Test;
    use Relay::Surface;

    my $mock = provider();                     # answers by path
    my $mock = provider(broken => {status => 500});   # or by header x-play
    for my $e (endpoints()) {                  # {name, dialect, path, body, ...}
        my $res = $t->post($e->{path}, $e->{body});
        answered($res, $e, 'it works');
    }
    refused($res, openai => 404, 'path_not_found', 'unknown path');
    refused($res, anthropic => 400, 'invalid_field', 'model', message => qr/model/, param => 'model');
    untouched($mock, 'a refused request') { ... };   # no request, no connection

C<refused> options: message (pattern), param (undef: must be null or absent).
A code of undef means that the error is the provider's: no x-relay-error.

=cut

use strict;
use warnings;
use Exporter qw(import);
use JSON::PP ();
use Test::More ();
use Time::HiRes qw(sleep);

use Relay::Mock;
use Relay::Sse;

our @EXPORT = qw(endpoints endpoint provider answered refused error_faults untouched
    base62_key worker_memory_kb config_sample);

my $writer = JSON::PP->new->canonical->utf8;
my @turn = ({role => 'user', content => 'Hi'});

# ---- the endpoints ----------------------------------------------------------

my @endpoints = (
    {   name => 'chat', dialect => 'openai', path => '/v1/chat/completions',
        body => {model => 'm', messages => \@turn}, answer => chat_answer()},
    {   name => 'responses', dialect => 'openai', path => '/v1/responses',
        body => {model => 'm', input => 'Hi'}, answer => response_answer()},
    {   name => 'input_tokens', dialect => 'openai', path => '/v1/responses/input_tokens',
        body => {model => 'm', input => 'Hi'},
        answer => $writer->encode({object => 'response.input_tokens', input_tokens => 3})},
    {   name => 'compact', dialect => 'openai', path => '/v1/responses/compact',
        body => {model => 'm', input => 'Hi'},
        answer => $writer->encode({
            id => 'resp_2',
            object => 'response.compaction', created_at => 1700000000,
            output => [{type => 'compaction', encrypted_content => 'abc'}]})},
    {   name => 'embeddings', dialect => 'openai', path => '/v1/embeddings',
        body => {model => 'm', input => ['Hi', 'you']},
        answer => $writer->encode({
            object => 'list',
            model => 'up', data => [{object => 'embedding', index => 0, embedding => 'AACAPw=='}],
            usage => {prompt_tokens => 3, total_tokens => 3}})},
    {   name => 'messages', dialect => 'anthropic', path => '/v1/messages',
        body => {model => 'm', max_tokens => 9, messages => \@turn}, answer => message_answer()},
    {   name => 'count_tokens', dialect => 'anthropic', path => '/v1/messages/count_tokens',
        body => {model => 'm', messages => \@turn}, answer => $writer->encode({input_tokens => 3})},
);
my %by_name = map { $_->{name} => $_ } @endpoints;
my %by_path = map { $_->{path} => $_ } @endpoints;

sub endpoints { @endpoints }
sub endpoint { $by_name{$_[0]} || die "no endpoint $_[0]" }

# A mock that answers each endpoint by its path, and what it does not know with
# what it was asked. If there are %plays, the header x-play names one to give
# instead: an answer, or code that gets the request.
sub provider {
    my $options = ref $_[0] eq 'HASH' ? shift : {};
    my (%plays) = @_;
    return Relay::Mock->new(
        %$options,
        on => sub {
            my ($req) = @_;
            my $name = $req->header('x-play');
            if (defined $name && %plays) {
                my $play = $plays{$name} || {status => 500, body => {error => {message => "no play $name"}}};
                return ref $play eq 'CODE' ? $play->($req) : $play;
            }
            my ($path) = $req->path =~ /^([^?]*)/;
            my $e = $by_path{$path};
            return {body => $e->{answer}} if $e;
            return {body => {asked => $req->method . ' ' . $req->path, length => length $req->body}};
        });
}

# ---- what answers must be like ----------------------------------------------

sub _report {
    my ($name, @faults) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    Test::More::ok(!@faults, $name) or Test::More::diag(join "\n", map { "  $_" } @faults);
    return !@faults;
}

# The provider's answer to this endpoint, byte for byte.
sub answered {
    my ($res, $e, $name) = @_;
    my @faults;
    push @faults, 'status ' . $res->status unless $res->status == 200;
    push @faults, 'not a clean end: ' . $res->why unless $res->clean;
    push @faults, 'body: ' . substr $res->body, 0, 300 unless $res->body eq $e->{answer};
    push @faults, 'x-relay-error: ' . $res->header('x-relay-error') if defined $res->header('x-relay-error');
    push @faults, _id_faults($res, $e->{dialect});
    return _report($name, @faults);
}

my %id_header = (openai => 'x-request-id', anthropic => 'request-id');

# A request id on every answer, in its own header and in the dialect's.
sub _id_faults {
    my ($res, $dialect) = @_;
    my @own = $res->header('x-relay-request-id');
    my @theirs = $res->header($id_header{$dialect});
    my @faults;
    push @faults, scalar(@own) . ' x-relay-request-id' unless @own == 1;
    push @faults, scalar(@theirs) . " $id_header{$dialect}" unless @theirs == 1;
    push @faults, "x-relay-request-id: @own" if @own && $own[0] !~ /^[A-Za-z0-9_-]{1,64}$/;
    return @faults;
}

my %anthropic_type = (
    401 => 'authentication_error', 402 => 'billing_error', 403 => 'permission_error',
    404 => 'not_found_error', 413 => 'request_too_large', 429 => 'rate_limit_error', 504 => 'timeout_error',
    529 => 'overloaded_error');
my %openai_type = (
    403 => 'permission_error', 429 => 'rate_limit_error', 503 => 'service_unavailable_error',
    529 => 'service_unavailable_error');
my %openai_code = (401 => 'invalid_api_key', 404 => qr/^(model_not_found|path_not_found|upstream_status)$/);

sub _openai_faults {
    my ($j, $status, %o) = @_;
    my $e = $j->{error};
    return 'no error object' unless ref $e eq 'HASH' && keys %$j == 1;
    my @faults;
    my $members = join ' ', sort keys %$e;
    push @faults, "members of error: $members" unless $members eq 'code message param type';
    my $type = $openai_type{$status} || ($status >= 500 ? 'server_error' : 'invalid_request_error');
    push @faults, "type $e->{type}, expected $type" unless ($e->{type} || '') eq $type;
    my $code = $openai_code{$status};
    push @faults, 'no code' unless defined $e->{code} && length $e->{code};
    push @faults, "code $e->{code}"
        if $code && ref $code && $e->{code} !~ $code || $code && !ref $code && $e->{code} ne $code;

    if (exists $o{param}) {
        my ($is, $want) = map { defined $_ ? $_ : 'null' } $e->{param}, $o{param};
        push @faults, "param $is, expected $want" unless $is eq $want;
    }
    return (@faults, _message_faults($e->{message}, %o));
}

sub _anthropic_faults {
    my ($j, $status, $res, %o) = @_;
    my $e = $j->{error};
    my @faults;
    my $members = join ' ', sort keys %$j;
    push @faults, "members: $members" unless $members eq 'error request_id type';
    return (@faults, 'no error object') unless ref $e eq 'HASH';
    push @faults, 'type is not "error"' unless ($j->{type} || '') eq 'error';
    push @faults, 'members of error: ' . join ' ', sort keys %$e unless join(' ', sort keys %$e) eq 'message type';
    my $type = $anthropic_type{$status} || ($status >= 500 ? 'api_error' : 'invalid_request_error');
    push @faults, "error.type $e->{type}, expected $type" unless ($e->{type} || '') eq $type;
    my $id = $res->can('header') ? $res->header('x-relay-request-id') : $j->{request_id};
    push @faults, 'request_id is not that of the header' unless length($id || '') && ($j->{request_id} || '') eq $id;
    # there is no member for the field: the message must name it
    push @faults, "the message does not name $o{param}: $e->{message}"
        if defined $o{param} && ($e->{message} || '') !~ /\b\Q$o{param}\E\b/i;
    return (@faults, _message_faults($e->{message}, %o));
}

sub _message_faults {
    my ($message, %o) = @_;
    return 'no message' unless defined $message && length $message;
    return "message: $message" if $o{message} && $message !~ $o{message};
    return;
}

# What is wrong with the answer as an error of this dialect.
sub error_faults {
    my ($res, $dialect, $status, $code, %o) = @_;
    my @faults;
    push @faults, 'status ' . $res->status . ", expected $status" unless $res->status == $status;
    push @faults, 'not a clean end: ' . $res->why unless $res->clean;
    # Relay::Http2 does not read headers
    push @faults, _header_faults($res, $dialect, $status, $code) if $res->can('header');
    my $j = $res->json;
    push @faults, 'not JSON: ' . substr($res->body, 0, 200) and return @faults
        if ref $j ne 'HASH' || exists $j->{not_json};
    push @faults, $dialect eq 'openai' ? _openai_faults($j, $status, %o) : _anthropic_faults($j, $status, $res, %o)
        if defined $code;
    return @faults;
}

sub _header_faults {
    my ($res, $dialect, $status, $code) = @_;
    my @faults;
    my @type = $res->header('content-type');
    push @faults, "content-type: @type" unless @type == 1 && $type[0] =~ m{^application/json\b};
    my @length = $res->header('content-length');
    push @faults, "content-length: @length" unless @length == 1 && $length[0] == length $res->body;
    push @faults, 'content-encoding on an error' if defined $res->header('content-encoding');
    my $said = $res->header('x-relay-error');
    push @faults,
        'x-relay-error: ' . (defined $said ? $said : '(none)') . ', expected ' . (defined $code ? $code : 'none')
        unless defined $code ? defined $said && $said eq $code : !defined $said;
    push @faults, _id_faults($res, $dialect);

    if ($status == 429 || $status == 503) {
        my @after = $res->header('retry-after');
        push @faults, "retry-after: @after"
            unless @after == 1 && $after[0] =~ /^\d+$/ && $after[0] >= 1 && $after[0] <= 60;
    }
    return @faults;
}

sub refused {
    my ($res, $dialect, $status, $code, $name, %o) = @_;
    return _report($name, error_faults($res, $dialect, $status, $code, %o));
}

# Runs the code and checks that the mock saw nothing of it.
sub untouched {
    my ($mock, $name, $code) = @_;
    my ($requests, $connections) = (scalar $mock->requests, scalar $mock->connections);
    $_ = @$_ for $requests, $connections;
    $code->();
    sleep 0.05;
    my @seen = $mock->requests;
    splice @seen, 0, $requests;
    my @opened = $mock->connections;
    my @faults = map { my $case = $_->header('x-case') || ''; "$case: $_->{line}" } @seen;
    push @faults, @opened - $connections . ' connections' if @opened != $connections;
    return _report($name, @faults);
}

# ---- odds and ends ----------------------------------------------------------

# A relay key of the real shape; checksum => 0 spoils it.
sub base62_key {
    my ($id, $secret, %o) = @_;
    require Compress::Raw::Zlib;
    my @digits = (0 .. 9, 'A' .. 'Z', 'a' .. 'z');
    my $key = 'rly_' . substr("$id$digits[0]" . '0' x 8, 0, 8) . substr($secret . 'x' x 32, 0, 32);
    my $crc = Compress::Raw::Zlib::crc32($key);
    $crc ^= 1 if exists $o{checksum} && !$o{checksum};
    my $sum = '';
    for (1 .. 6) { $sum = $digits[$crc % 62] . $sum; $crc = int $crc / 62 }
    return $key . $sum;
}

# The largest (VmHWM) or present (VmRSS) memory of the only worker.
sub worker_memory_kb {
    my ($t, $field) = @_;
    my ($worker) = $t->workers;
    my ($kb) = Relay::Test::slurp("/proc/$worker/status") =~ /^\Q$field\E:\s+(\d+)/m;
    return $kb || 0;
}

# The text of a file of config/.
sub config_sample {
    my ($name) = @_;
    my ($root) = __FILE__ =~ m{^(.*?)/?t/lib/Relay/[^/]+$};
    my $text = Relay::Test::slurp((length $root ? $root : '.') . "/config/$name");
    die "config/$name is missing" unless length $text;
    return $text;
}

1;
