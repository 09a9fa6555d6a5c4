# Bad input, made from the OpenAPI document: every field of every route that
# takes a body gets what it must not have. The answer is a problem that points
# at it, or the value, stored as it was sent; and nothing is half-written.

use lib 't/lib';
use utf8;
use Encode qw(encode_utf8);
use JSON::PP ();
use Relay::Admin;

my $admin = Relay::Admin->begin;
$admin->scene;
$admin->make('api-tokens' => {name => 'robot', role => 'viewer'});
my $json = JSON::PP->new->canonical->utf8->allow_nonref;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

# ---- the routes: where, and a body that is good -------------------------------

my %host = (base_url => 'http://127.0.0.1:9/v1', formats => ['openai-chat'], local => $true);
my %all = %{$admin->operations};
my %operations = map { ($_ => $all{$_}) } grep { $all{$_}{document}{requestBody} } keys %all;
# What goes beside a member when it is tried; what goes away for it.
my %instead = (value_from => 'value', relay_key => 'policy');
my %samples = (base_url => $host{base_url}, formats => ['openai-chat'], value_from => 'env:HOME', public_url => 'https://a',
    scopes => 'pools:read', offers => {host => 'own-host'}, format => 'openai-chat', model => 'own/model', relay_key => 'app');
my %referred = (host => 'own-host', provider_key => 'key-a', pool => 'main', policy => 'team', workspace => 'default');

is_deeply [grep { !$operations{$_}{body} } sort keys %operations], [], 'every route that takes a body is tried';
sub schema_of { return $_[0]{document}{requestBody}{content}{'application/json'}{schema} }

# ---- schemas ----------------------------------------------------------------

# A schema without references and null, and whether it takes null.
sub plain {
    my ($schema) = @_;
    my $nullable = 0;
    for (1 .. 5) {
        if (my $ref = $schema->{'$ref'}) { $schema = $admin->openapi->{components}{schemas}{$ref =~ s{.*/}{}r} }
        elsif ($schema->{anyOf}) { ($schema) = grep { ($_->{type} // '') ne 'null' } @{$schema->{anyOf}}; $nullable = 1 }
        elsif (ref $schema->{type}) { $nullable = 1; $schema = {%$schema, type => $schema->{type}[0]} }
        else { last }
    }
    return ($schema, $nullable);
}

# A value that is good.
sub sample {
    my ($schema, $name) = @_;
    ($schema) = plain($schema);
    my $type = $schema->{type} // 'any';
    return $referred{$schema->{'x-refers-to'}} if $schema->{'x-refers-to'};
    return {map { ($_ => sample($schema->{properties}{$_}, $_)) } @{$schema->{required} || []}} if $schema->{properties};
    return {'x-a' => sample($schema->{additionalProperties}, 'x')} if $type eq 'object';
    return [sample($schema->{items}, $name)] if $type eq 'array';
    return $samples{$name} if defined $samples{$name};
    return {} if $type eq 'any';
    return $schema->{enum}[0] if $schema->{enum};
    return '2040-01-31T00:00:00Z' if ($schema->{format} // '') eq 'date-time';
    return $type eq 'string' ? 'sample' : $type eq 'boolean' ? $true : $schema->{minimum} || 1;
}

# All places of a schema: [path, schema, nullable, required].
sub places {
    my ($schema, @path) = @_;
    my ($object) = plain($schema);
    my (@found, %required);
    $required{$_} = 1 for @{$object->{required} || []};
    for my $name (sort keys %{$object->{properties} || {}}) {
        my ($field, $nullable) = plain($object->{properties}{$name});
        push @found, [[@path, $name], $field, $nullable, $required{$name}], places($field, @path, $name);
    }
    if ($object->{items}) {
        my ($item, $nullable) = plain($object->{items});
        push @found, [[@path, 0], $item, $nullable], places($item, @path, 0);
    }
    if (ref $object->{additionalProperties} eq 'HASH') {
        my ($item, $nullable) = plain($object->{additionalProperties});
        push @found, [[@path, 'x-a'], $item, $nullable] if $item->{type};
    }
    return @found;
}

sub copy { my ($value) = @_; return JSON::PP->new->allow_nonref->decode(JSON::PP->new->allow_nonref->encode($value)) }

# The good body with a value at path; what lies between is made good.
sub with {
    my ($operation, $path, $value) = @_;
    my $body = copy($operation->{body});
    my ($schema) = plain(schema_of($operation));
    delete $body->{$instead{$path->[0]}} if $instead{$path->[0]} && @$path == 1;
    my ($at, @rest) = (\$body, @$path);
    while (@rest) {
        my $step = shift @rest;
        my ($below) = plain($step =~ /^\d+$/ ? $schema->{items} : $schema->{properties}{$step} // $schema->{additionalProperties});
        $$at //= $step =~ /^\d+$/ ? [] : {};
        $at = ref $$at eq 'ARRAY' ? \$$at->[$step] : \$$at->{$step};
        $$at //= sample($below, $step) if @rest;
        $schema = $below;
    }
    $$at = $value;
    return $body;
}

# The same as text, around a value as JSON; with() is asked once for each place.
my %around;
sub text_with {
    my ($operation, $path, $value) = @_;
    my $around = $around{$operation->{id} . pointer($path)}
        ||= [split /"MARK5fd1"/, $json->encode(with($operation, $path, 'MARK5fd1'))];
    return join $value, @$around;
}

sub pointer { join '', map { "/$_" } @{$_[0]} }

my $sent = 0;
sub send_to {
    my ($operation, $bytes, %o) = @_;
    my $open = !$operation->{scope};
    my $path = $operation->{path} . ($operation->{takes}{dry_run} && !$open && !$o{real} ? '?dry_run=true' : '');
    my @headers = ($operation->{takes}{'If-Match'} ? ('If-Match' => $o{match} // '*') : (), @{$o{headers} || []});
    # One in sixteen answers is held against its schema: there are thousands.
    return $admin->quick($operation->{method}, $path, $bytes, @headers, $open ? (Authorization => undef) : ()) if $sent++ & 15 && !$o{real};
    return $admin->request($operation->{method} => $path, body => $bytes, ($open ? (token => undef) : ()), headers => \@headers);
}

my %wrong = (string => [qw(5 true [] {})], integer => [qw("5" true [] 1.5)], boolean => [qw("true" 1 {})], array => [qw({} "a" 1)],
    object => [qw([] "a" 1)]);

# ---- what a field must not have -----------------------------------------------

# [what it is, as JSON, pointer below the place].
sub bad_values {
    my ($schema, $nullable) = @_;
    my $type = $schema->{type} or return;
    my @bad = map { ["is $_", $_] } @{$wrong{$type}};
    my @texts;
    push @bad, ['null', 'null'] if !$nullable;
    push @texts, 'no-such-value', '' if $schema->{enum};
    push @bad, ['unknown member', '{"no-such-member":1}', '/no-such-member'] if $schema->{properties};
    push @bad, ['long name', '{"' . 'x' x 257 . '":"a"}'] if $schema->{propertyNames};
    push @bad, ['too large', $schema->{maximum} + 1], ['too small', $schema->{minimum} - 1] if $type eq 'integer' && $schema->{maximum} < 2**53;
    push @bad, ['too many', '[' . join(',', ($json->encode(sample($schema->{items}, 'x'))) x ($schema->{maxItems} + 1)) . ']']
        if $type eq 'array' && $schema->{maxItems} <= 1000;
    if ($type eq 'string' && !$schema->{enum} && !$schema->{format}) {
        push @texts, 'x' x ($schema->{maxLength} + 1);
        push @texts, '' if $schema->{minLength};
        push @texts, "a b\"é" if $schema->{pattern} && $schema->{pattern} !~ /\\x00/ && "a b\"é" !~ /$schema->{pattern}/;
    }
    push @texts, 'tomorrow', '2040-02-30T00:00:00Z', '2040-01-31', '2040-01-31T00:00:00', '2040-01-31T24:00:00Z',
        '2040-01-31T00:00:00+23:00', '99999-01-31T00:00:00Z', '2040-01-31T00:00:00z', ' 2040-01-31T00:00:00Z', 'infinity', 'now'
        if ($schema->{format} // '') eq 'date-time';
    push @texts, 'none', 'key-a ', "';--", map { $_ . '_' . 'a' x 32 } qw(pk pool pol host rk ws) if $schema->{'x-refers-to'};
    return @bad, map { ["is a text: " . substr($_, 0, 20), $json->encode($_)] } @texts;
}

# Whether a problem points there; read from the bytes, for speed.
sub points_at {
    my ($res, $status, $code, $pointer) = @_;
    return $res->status == $status && $res->body =~ /"code":"$code"/ && index($res->body, '"pointer":' . $json->encode($pointer)) > 0;
}

my $before = $admin->stored;
my $tried = 0;
for my $id (sort keys %operations) {
    my $operation = $operations{$id};
    my @places = places(schema_of($operation));
    subtest "$id: wrong values" => sub {
        my $good = send_to($operation, $json->encode($operations{$id}{body}));
        is $good->status, $operation->{status}, 'the good one is good' or diag $good->body;
        my @failed;
        for my $place (@places) {
            my ($path, $schema, $nullable) = @$place;
            for my $bad (bad_values($schema, $nullable)) {
                my ($what, $value, $below) = @$bad;
                my $res = send_to($operation, text_with($operation, $path, $value));
                my $pointer = pointer($path) . ($below // '');
                $tried++;
                next if points_at($res, 422, 'invalid_document', $pointer);
                push @failed, "$pointer $what: " . $res->status . ' ' . substr $res->body, 0, 300;
            }
        }
        is scalar @failed, 0, 'each is refused with its pointer' or diag map { "$_\n" } @failed;
        my $res = send_to($operation, $json->encode({%{$operations{$id}{body}}, 'no~such/member' => 1}));
        problem $res, 422, 'invalid_document', 'an unknown member', '/no~0such~1member';
        problem send_to($operation, $_), 422, 'invalid_document', "the document is $_", '' for '[]', 'null', '5', '"a"';
        if (my @required = grep { $_->[3] && @{$_->[0]} == 1 } @places) {
            problem send_to($operation, '{}'), 422, 'invalid_document', 'required members',
                map { pointer($_->[0]) } @required if $id !~ /^(?:rotate|simulate)/;
        }
    };

    subtest "$id: no JSON" => sub {
        my @failed;
        for my $place (@places) {
            my ($path, $schema) = @$place;
            my $mark = 'MARK5fd1';
            my $text = text_with($operation, $path, "\"$mark\"");
            my $last = $path->[-1] =~ /^\d+$/ ? undef : $path->[-1];
            my %bad = ('non-UTF-8' => $text =~ s/$mark/a\xff/r, 'NUL' => $text =~ s/$mark/a\0/r, 'escaped NUL' => $text =~ s/$mark/a\\u0000/r,
                'deep' => $text =~ s/"$mark"/'[' x 64 . ']' x 64/er);
            # What only the reader of JSON sees needs no second place.
            %bad = (%bad, 'overlong' => $text =~ s/$mark/\xc0\xaf/r, 'surrogate' => $text =~ s/$mark/\xed\xa0\x80/r,
                'lone escape' => $text =~ s/$mark/\\ud800/r, 'line feed' => $text =~ s/$mark/a\nb/r, 'number' => $text =~ s/"$mark"/1e400/r,
                'integer' => $text =~ s/"$mark"/99999999999999999999/r, 'leading zero' => $text =~ s/"$mark"/007/r) if $place == $places[0];
            $bad{twice} = $text =~ s/("\Q$last\E":"$mark")/$1,$1/r if defined $last;
            for my $what (sort keys %bad) {
                my $res = send_to($operation, $bad{$what});
                $tried++;
                push @failed, pointer($path) . " $what: " . $res->status . ' ' . $res->body
                    if $res->status != 400 || $res->body !~ /"code":"invalid_json"/ || $res->body =~ /$mark/;
            }
        }
        is scalar @failed, 0, 'each is refused' or diag map { "$_\n" } @failed;
    };
    is $admin->stored, $before, "$id: nothing was written";
}

# ---- texts that are more than they seem -----------------------------------------

my @corpus = ("'", "'; DROP TABLE pool; --", "' OR '1'='1", '"; SELECT 1; --', '$1', '$$', '%s%n%d', "\\", "\\'", '\\x00', '{{7*7}}', '${jndi:x}',
    '","role":"admin","x":"', '{"a":1}', '</script><script>', "a\r\nX-Injected: 1", "a\nb", "a\tb", "a\x{7f}b", "a\x{85}b", '../../etc/passwd', '*', '?',
    'é', "e\x{301}", "\x{202e}abc", "\x{feff}x", "\x{ffff}", "\x{10ffff}", '🦊' x 20, 'null', '0', 'true', ' a ', 'pool_' . '0' x 32, 'None', 'a/b~c', '%00', 'A' x 64);

for my $id (sort keys %operations) {
    my $operation = $operations{$id};
    my @texts = grep { ($_->[1]{type} // '') eq 'string' && !$_->[1]{enum} && !$_->[1]{format} }
        places(schema_of($operation));
    next if !@texts;
    subtest "$id: texts" => sub {
        my @failed;
        my ($kept, $refused) = (0, 0);
        for my $place (@texts) {
            my ($path, $schema) = @$place;
            my $pointer = pointer($path);
            for my $text (@corpus) {
                my $res = send_to($operation, text_with($operation, $path, $json->encode($text)));
                my $fine = $res->status =~ /^2/ ? same($operation, $schema, $path, $text, $res) : refused($res, $pointer);
                $res->status =~ /^2/ ? $kept++ : $refused++;
                push @failed, "$pointer " . encode_utf8(substr $text, 0, 30) . ': ' . $res->status . ' ' . substr $res->body, 0, 400
                    if !$fine || defined $res->header('x-injected');
            }
        }
        is scalar @failed, 0, "kept as sent ($kept) or refused ($refused)" or diag map { "$_\n" } @failed;
    };
    is $admin->stored, $before, "$id: nothing was written";
}

# With a pointer to the place, or to what it is part of; or a refusal that needs none.
sub refused {
    my ($res, $pointer) = @_;
    return $res->status =~ /^(?:401|403|409)$/ if $res->body !~ /"faults"/;
    return 0 if $res->status != 422;
    for (my $at = $pointer; $at ne ''; $at =~ s{/[^/]*\z}{}) { return 1 if points_at($res, 422, 'invalid_document', $at) }
    return 0;
}

# What was sent is what the answer has, where answers have it.
sub same {
    my ($operation, $schema, $path, $text, $res) = @_;
    return 1 if $schema->{writeOnly} || $operation->{id} =~ /^(?:simulate|introspect|plan|apply|setUp)/;
    my $value = $res->json;
    for my $step (@$path) { $value = ref $value eq 'ARRAY' ? $value->[$step] : $value->{$step} }
    return defined $value && $value eq $text;
}

subtest 'what is stored for real' => sub {
    for my $thing ('pools/main', 'policies/team', 'provider-keys/key-a', 'relay-keys/app', 'workspaces/default') {
        my @kept = grep { !/[\x00-\x1f\x7f-\x9f]/ } @corpus;
        my $long = join ' ', @kept;
        for my $text (@kept[0 .. 5], substr($long, 0, 1000)) {
            is $admin->patch($admin->path($thing), {description => $text}, 'If-Match' => '*')->status, 200, "$thing: stored";
            is $admin->get($admin->path($thing))->json->{description}, $text, '... and read back';
        }
        $admin->patch($admin->path($thing), {description => undef}, 'If-Match' => '*');
    }
    my %facts = ("a'b" => "'; --", '"' => [1, '0.10', 0.5, -3, $true, undef, {'é' => '🦊'}], '' => 1, 'x' x 300 => 2, big => 9007199254740992);
    is $admin->patch($admin->path('models/own%2Fmodel'), {facts => \%facts}, 'If-Match' => '*')->status, 200, 'members that are described elsewhere';
    is_deeply $admin->get($admin->path('models/own%2Fmodel'))->json->{facts}, \%facts, '... are kept, too';
    for my $number ('1e300', '-1e300', '9007199254740993', '1e17', '123456789012345678') {
        my $res = $admin->request(PATCH => $admin->path('models/own%2Fmodel'), body => "{\"facts\":{\"a/b\":[$number]}}", headers => ['If-Match' => '*']);
        problem $res, 422, 'invalid_document', "$number would be another one", '/facts/a~1b/0';
    }
    is $admin->patch($admin->path('models/own%2Fmodel'), {facts => undef}, 'If-Match' => '*')->status, 200, 'taken away';
};

subtest 'paths and queries' => sub {
    my @failed;
    for my $text (@corpus) {
        my $encoded = encode_utf8($text) =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
        for my $path (map({ $admin->path("$_/$encoded") } qw(pools models provider-keys)), "/api/v1/workspaces/$encoded/pools", "/api/v1/api-tokens/$encoded") {
            my $res = $admin->get($path);
            push @failed, "$path: " . $res->status . ' ' . $res->body if $res->status !~ /^40[04]$/;
        }
        for my $query ("cursor=$encoded", "limit=$encoded", "$encoded=1") {
            my $res = $admin->get($admin->path('pools') . "?$query");
            push @failed, "$query: " . $res->status . ' ' . $res->body if $res->status != 400 && !($query eq "cursor=$encoded" && $text =~ /^$/);
        }
        for my $name (qw(kind object actor verb)) {
            my $res = $admin->get($admin->path('events') . "?$name=$encoded");
            push @failed, "$name=$encoded: " . $res->status . ' ' . $res->body if !($res->status == 200 && !@{$res->json->{items}} || $res->status == 400);
        }
    }
    is scalar @failed, 0, 'nothing is found, nothing breaks' or diag map { "$_\n" } @failed;
    problem $admin->post($admin->path('configuration:plan') . "?prune=$_", {}), 400, 'invalid_request', "prune=$_" for 'yes', '1', '';
};

subtest 'references to oneself and in circles' => sub {
    my $models = $admin->path('models');
    my $model = sub { {name => $_[0], offers => [{host => 'own-host'}], aliases => $_[1]} };
    problem $admin->post($models, $model->('self', ['self'])), 422, 'invalid_document', 'a model that is its own alias', '/aliases/0';
    problem $admin->post($models, $model->('twice', ['a', 'a'])), 422, 'invalid_document', 'an alias twice', '/aliases/1';
    problem $admin->post($models, $model->('thief', ['x', 'own-alias'])), 422, 'invalid_document', 'an alias of another', '/aliases/1';
    problem $admin->post($models, $model->('thief', ['own/model'])), 422, 'invalid_document', 'the name of another', '/aliases/0';
    problem $admin->post($models, $model->('own-alias', [])), 422, 'invalid_document', 'the alias of another as a name', '/name';
    is $admin->post($models, $model->('one', ['one-alias']))->status, 201, 'one';
    problem $admin->patch("$models/own%2Fmodel", {aliases => ['one']}, 'If-Match' => '*'), 422, 'invalid_document', 'in a circle', '/aliases/0';
    is $admin->patch("$models/one", {aliases => ['one-alias', 'other-alias']}, 'If-Match' => '*')->status, 200, 'its own again';
    is $admin->delete("$models/one", 'If-Match' => '*')->status, 204, 'gone';
    problem $admin->post($admin->path('pools'), {name => 'p', members => [{key => 'key-a'}, {key => 'key-a'}]}), 422, 'invalid_document',
        'a key twice in a pool', '/members/1/key';
    problem $admin->post($admin->path('policies'), {name => 'p', pools => ['main', 'main']}), 422, 'invalid_document', 'a pool twice', '/pools/1';
    problem $admin->post($admin->path('policies'), {name => 'p', deny => ['a', '🦊' x 200]}), 422, 'invalid_document', 'longer in bytes', '/deny/1';
    problem $admin->post($admin->path('relay-keys'), {name => 'p', policy => 'team', tags => {'a b' => '1'}}), 422, 'invalid_document', 'a tag', '/tags/a b';
    problem $admin->post($admin->path('relay-keys'), {name => 'p', policy => 'team', models => [map { "$_" . 'm' x 250 } 1 .. 600]}), 422,
        'invalid_document', 'more than a record holds';
    problem $admin->post($admin->path('hosts'), {name => 'relay', %host}), 409, 'conflict', 'the built-in host';
    problem $admin->post($models, $model->('relay/echo', [])), 409, 'conflict', 'the built-in model';
};

# ---- keys of requests -------------------------------------------------------

subtest 'Idempotency-Key on every route that changes something' => sub {
    my %done;
    for my $id (sort grep { $operations{$_}{takes}{'Idempotency-Key'} } keys %operations) {
        my $operation = $operations{$id};
        my %o = (real => 1, headers => ['Idempotency-Key' => "input-$id"]);
        my $body = $json->encode($operations{$id}{body});
        my $first = send_to($operation, $body, %o);
        like $first->status, qr/^2/, "$id: done" or diag $first->body;
        $admin->secret(grep { defined } @{$first->json}{qw(key token)});
        my $rows = $admin->rows;
        my $again = send_to($operation, $body, %o);
        is $again->status, $first->status, '... again: the same status';
        is $again->header('idempotency-replayed'), 'true', '... replayed';
        my ($was, $is) = map { $_->json } $first, $again;
        delete @{$_}{qw(key token minted)} for $was, $is;
        is_deeply $is, $was, '... the same answer';
        is $again->body, $first->body, '... byte for byte' if $first->body !~ /"(?:key|token|minted)":/;
        problem send_to($operation, $json->encode({%{$operations{$id}{body}}, different($operation)}), %o), 409, 'idempotency_mismatch', '... another body';
        is $admin->rows, $rows, '... once';
        next if $id !~ /^create/;
        is $admin->delete($first->header('location'), 'If-Match' => '*')->status, 204, '... gone again';
    }
};

# A member that may be there, with a good value.
sub different {
    my ($operation) = @_;
    my $good = $operation->{body};
    for my $place (places(schema_of($operation))) {
        my ($path, $schema) = @$place;
        next if @$path != 1 || exists $good->{$path->[0]} || $instead{$path->[0]} || !$schema->{type};
        return ($path->[0], sample($schema, $path->[0]));
    }
    die "$operation->{id}: nothing to add";
}

subtest 'equal keys at the same time' => sub {
    for my $id (sort grep { /^create/ } keys %operations) {
        my $rows = $admin->rows;
        my @children;
        for (1 .. 4) {
            my $pid = open(my $out, '-|') // die "fork: $!";
            if (!$pid) {
                my $res = send_to($operations{$id}, $json->encode($operations{$id}{body}), real => 1, headers => ['Idempotency-Key' => "at-once-$id"]);
                print join(' ', $res->status, $res->header('idempotency-replayed') // 'made', $res->header('location') // $res->body), "\n";
                close STDOUT;
                POSIX::_exit(0);
            }
            push @children, $out;
        }
        my %said;
        for my $out (@children) { my $line = <$out> // ''; chomp $line; $said{$line}++; close $out }
        my ($location) = map { (split ' ')[2] } keys %said;
        is_deeply \%said, {"201 made $location" => 1, "201 true $location" => 3}, "$id: made once" or diag explain \%said;
        is $admin->delete($location, 'If-Match' => '*')->status, 204, '... gone again';
    }
};

subtest 'conditions on every route that has them' => sub {
    my $stored = $admin->stored;
    for my $id (sort keys %operations) {
        my $operation = $operations{$id};
        next if !$operation->{takes}{'If-Match'};
        my $body = $json->encode($operations{$id}{body});
        problem send_to($operation, $body, real => 1, match => '"999"'), 412, 'stale', "$id: another version";
        problem $admin->request($operation->{method} => $operation->{path}, body => $body), 428, 'precondition_required', "$id: none";
    }
    is $admin->stored, $stored, 'nothing was written';
};

cmp_ok $tried, '>', 2000, "$tried bad values";
$admin->done;
