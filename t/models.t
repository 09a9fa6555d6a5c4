#!/usr/bin/perl

# Model lists: what this key may reach, in the caller's dialect, in pages, and
# one model by its encoded name. No provider is asked.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Relay::Surface;

my $mock = provider();

# Names in every odd but allowed form; z-* are offered in one format only: a chat
# reaches z-anthropic by translation, nothing but embeddings reaches z-openai.
my @shared = map { sprintf 'gen-%02d', $_ } 1 .. 45;
my @odd = ('org/name', 'org/deep/name', 'ft:base:team::1', 'name@2026-01-01', 'plus+plus', 'a%2Fb', 'tilde~x', '*star');
my @named = (@shared, @odd, 'm');

my $config = relay_config(a => $mock);
$config->{models}{$_} = {offers => [{host => 'a'}]} for @shared, @odd, 'secret-1', 'secret-2';
$config->{models}{'z-openai'} = {offers => [{host => 'a', formats => ['openai-embeddings']}]};
$config->{models}{'z-anthropic'} = {offers => [{host => 'a', formats => ['anthropic-messages']}]};
$config->{models}{'z-nowhere'} = {offers => [{host => 'other'}]};
$config->{models}{'gen-01'} = {
    offers => [{host => 'a'}], display_name => "Gen \x{e9}\x{1F642} \"One\"", owned_by => 'acme',
    created => 1700000000, context_tokens => 200000, output_tokens => 8192, aliases => ['first']};
$config->{hosts}{other} = {base_url => $mock->url . '/v1', local => \1, formats => ['openai-chat']};
$config->{provider_keys}{kother} = {host => 'other', value => 'env:THIS_IS_NOT_SET', optional => \1};
$config->{pools}{p}{members} = ['ka', 'kother'];
$config->{pools}{none} = {members => []};
$config->{policies} = {
    default => {pools => ['p'], deny => ['secret-*']},
    few => {pools => ['p'], allow => ['gen-0?', 'org/*'], deny => ['gen-09']},
    nothing => {pools => ['p'], allow => []},
};
$config->{relay_keys} = {
    all => {policy => 'default', key => RELAY_KEY},
    few => {policy => 'few', key => 'key-of-few-00000000001'},
    fewer => {
        policy => 'few', key => 'key-of-fewer-000000001',
        models => ['gen-0[1', 'gen-01', 'gen-02', 'gen-30', 'org/deep/*']},
    nothing => {policy => 'nothing', key => 'key-of-nothing-0000001'},
};

my $t = Relay::Test->new(http2 => 1);
$t->relay($config)->start;

my @anthropic = ('anthropic-version', '2023-06-01');

sub listing {
    my ($query, %o) = @_;
    my $res = $t->get("/v1/models$query", %o);
    return ($res->json, $res);
}

sub ids {
    my ($list) = @_;
    map { $_->{id} } @{$list->{data} || []};
}

# ---- shape ------------------------------------------------------------------

subtest 'OpenAI' => sub {
    for my $path ('/v1/models', '/openai/v1/models', '/v1/models?unknown=1') {
        for my $how ({}, {http2 => 1}) {
            my $res = $t->get($path, %$how);
            is $res->status, 200, $path;
            like scalar $res->header('content-type'), qr{^application/json\b}, 'JSON';
            is $res->header('content-length'), length $res->body, 'its length';
            ok $res->header('x-request-id') && $res->header('x-request-id') eq $res->header('x-relay-request-id'),
                'request id';
            my $list = $res->json;
            is $list->{object}, 'list', 'a list';
            is_deeply [ids($list)], [sort @named, 'z-anthropic', 'z-openai'],
                'every model that the key reaches from the dialect, sorted, aliases and secrets not';
            is_deeply [
                grep {
                           join(' ', sort keys %$_) ne 'created id object owned_by'
                        || $_->{object} ne 'model'
                        || $_->{created} !~ /^\d+$/
                        || !length $_->{owned_by}
                } @{$list->{data}}],
                [], 'each as a model object';
            my ($first) = grep { $_->{id} eq 'gen-01' } @{$list->{data}};
            is_deeply $first, {id => 'gen-01', object => 'model', created => 1700000000, owned_by => 'acme'},
                'with what is known of it';
        }
    }
    is((listing(''))[0]{data}[0]{created} . '', '0', 'numbers are numbers');
};

subtest 'Anthropic' => sub {
    for my $case (['/v1/models?limit=1000', @anthropic], ['/anthropic/v1/models?limit=1000'],
        ['/anthropic/v1/models?limit=1000', @anthropic])
    {
        my ($path, @headers) = @$case;
        my $res = $t->get($path, headers => \@headers, style => 'x-api-key');
        is $res->status, 200, $path;
        ok $res->header('request-id') && $res->header('request-id') eq $res->header('x-relay-request-id'), 'request id';
        my $list = $res->json;
        is join(' ', sort keys %$list), 'data first_id has_more last_id', 'members of the list';
        is_deeply [ids($list)], [sort @named, 'z-anthropic'], 'every model that the key reaches from the dialect';
        ok !$list->{has_more}, 'all of it';
        is_deeply [@$list{qw(first_id last_id)}], ['*star', 'z-anthropic'], 'first and last';
        is_deeply [
            grep {
                       $_->{type} ne 'model'
                    || !length $_->{display_name}
                    || $_->{created_at} !~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
            } @{$list->{data}}],
            [], 'each as a model object';
        my ($first) = grep { $_->{id} eq 'gen-01' } @{$list->{data}};
        is_deeply $first, {
            type => 'model', id => 'gen-01', display_name => "Gen \x{e9}\x{1F642} \"One\"",
            created_at => '2023-11-14T22:13:20Z',
            max_input_tokens => 200000, max_tokens => 8192},
            'with what is known of it';
        my ($plain) = grep { $_->{id} eq 'org/name' } @{$list->{data}};
        is $plain->{display_name}, 'org/name', 'the name where there is no better one';
    }
    my ($list) = listing('', headers => \@anthropic);
    is scalar(ids($list)), 20, 'twenty unless it says otherwise';
    ok $list->{has_more}, 'and there are more';
    is $t->get('/openai/v1/models', headers => \@anthropic)->json->{object}, 'list', 'the prefix outweighs the header';
};

# ---- pages ------------------------------------------------------------------

# All ids, page by page, with the cursor that the dialect uses.
sub walk {
    my ($limit, $cursor, @headers) = @_;
    my ($query, @all) = ("?limit=$limit");
    for (1 .. 80) {
        my ($list) = listing($query, headers => \@headers);
        my @page = ids($list);
        return ('too many', @page) if @page > $limit;
        @all = $cursor eq 'before_id' ? (@page, @all) : (@all, @page);
        last unless $list->{has_more};
        return ('an empty page') unless @page;
        my $at = $cursor eq 'before_id' ? $page[0] : $page[-1];
        $at =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
        $query = "?limit=$limit&$cursor=$at";
    }
    return @all;
}

for my $limit (1, 7, 20, 55, 1000) {
    is_deeply [walk($limit, 'after_id', @anthropic)], [sort @named, 'z-anthropic'],
        "Anthropic, pages of $limit, forwards";
    is_deeply [walk($limit, 'after', ())], [sort @named, 'z-anthropic', 'z-openai'], "OpenAI, pages of $limit"
        unless $limit == 1;
}

subtest 'backwards' => sub {
    my @all = sort @named, 'z-anthropic';
    my ($list) = listing('?limit=3&before_id=gen-10', headers => \@anthropic);
    is_deeply [ids($list)], [qw(gen-07 gen-08 gen-09)], 'the three before it';
    ok $list->{has_more}, 'and there are more';
    is_deeply [@$list{qw(first_id last_id)}], [qw(gen-07 gen-09)], 'first and last';
    ($list) = listing("?limit=1000&before_id=a%252Fb", headers => \@anthropic);
    is_deeply [ids($list)], [$all[0]], 'the first one';
    ok !$list->{has_more}, 'and no more';
};

subtest 'the ends' => sub {
    my ($list) = listing('?after_id=zzz', headers => \@anthropic);
    is_deeply $list->{data}, [], 'behind the last: an empty page';
    is_deeply [@$list{qw(first_id last_id)}], [undef, undef], 'without a first and a last';
    ok !$list->{has_more}, 'and no more';
    ($list) = listing('?after_id=gen-44&before_id=', headers => \@anthropic);
    is + (ids($list))[0], 'gen-45', 'an empty cursor counts as none';
    ($list) = listing('?after_id=gen-44x', headers => \@anthropic);
    is + (ids($list))[0], 'gen-45', 'a cursor that no longer exists keeps its place';
};

untouched(
    $mock,
    'no list asks a provider',
    sub {
        for my $bad ('limit=0', 'limit=1001', 'limit=-1', 'limit=x', 'limit=', 'limit=1.5',
            'limit=99999999999999999999', 'after_id=%zz', 'after_id=' . 'x' x 2000)
        {
            my ($param) = $bad =~ /^(\w+)/;
            refused((listing("?$bad", headers => \@anthropic))[1], anthropic => 400, 'invalid_field',
                "Anthropic, " . substr($bad, 0, 40), param => $param);
            refused((listing("?$bad"))[1], openai => 400, 'invalid_field', "OpenAI, $bad", param => $param)
                if $param eq 'limit';
        }
    });

# ---- who sees what ----------------------------------------------------------

subtest 'each key its own' => sub {
    my %sees = (
        few => [sort((map { "gen-0$_" } 1 .. 8), 'org/name', 'org/deep/name')],
        fewer => [qw(gen-01 gen-02 org/deep/name)], nothing => []);
    for my $key (sort keys %sees) {
        my %o = (key => $config->{relay_keys}{$key}{key});
        is_deeply [ids((listing('', %o))[0])], $sees{$key}, "$key: OpenAI";
        is_deeply [ids((listing('', %o, headers => \@anthropic))[0])], $sees{$key}, "$key: Anthropic";
    }
    my ($list) = listing('', key => $config->{relay_keys}{nothing}{key}, headers => \@anthropic);
    is_deeply $list, {data => [], has_more => JSON::PP::false(), first_id => undef, last_id => undef},
        'an empty list is a list';
};

# ---- one model --------------------------------------------------------------

subtest 'by name' => sub {
    for my $name (@odd, 'm', 'gen-01') {
        my $encoded = $name =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger;
        my %spelling = (
            $encoded => 1,
            $name =~ /%/ ? () : (
                $name => 1, lc $encoded => 1,
                $encoded =~ s/%2F/\//gr => 1, $encoded =~ s/%3A/:/gr => 1));
        for my $path (sort keys %spelling) {
            is $t->get("/v1/models/$path")->json->{id}, $name, "OpenAI, /v1/models/$path";
            my $one = $t->get("/anthropic/v1/models/$path", style => 'x-api-key')->json;
            is_deeply [@$one{qw(type id)}], ['model', $name], "Anthropic, /v1/models/$path";
        }
    }
    is_deeply [sort keys %{$t->get('/v1/models/gen-01')->json}], [qw(created id object owned_by)],
        'the object, not a list';
    is $t->get('/v1/models/gen-01', http2 => 1)->json->{id}, 'gen-01', 'over HTTP/2';
    is $t->get('/v1/models/gen-01?x=1')->json->{id}, 'gen-01', 'with a query';
};

untouched(
    $mock,
    'no model asks a provider',
    sub {
        my %answer;
        for my $name ('no-such-model', 'secret-1', 'z-nowhere', '%2e%2e%2fm', '%0d%0aX-Evil:%201', 'x' x 4000, '%ff%fe')
        {
            my $short = substr $name, 0, 40;
            my $res = $t->get("/v1/models/$name");
            refused($res, openai => 404, 'model_not_found', "OpenAI, $short", param => 'model');
            ok !defined $res->header('x-evil'), "OpenAI, $short: no header comes of it";
            my $id = $res->header('x-relay-request-id');
            $answer{$res->body =~ s/\Q$id\E//gr}++;
            refused($t->get("/anthropic/v1/models/$name"), anthropic => 404, 'model_not_found', "Anthropic, $short");
        }
        is scalar(keys %answer), 1, 'a model that this key may not reach answers like one that does not exist';
        refused($t->get('/anthropic/v1/models/z-openai'), anthropic => 404, 'model_not_found',
            'a model that no request of the dialect reaches');
        is $t->get('/v1/models/z-anthropic')->status, 200, 'but one that translation reaches is there';
        refused($t->get('/v1/models/gen-09', key => $config->{relay_keys}{few}{key}), openai => 404, 'model_not_found',
            'denied by the policy');
        refused($t->get('/v1/models/gen-03', key => $config->{relay_keys}{fewer}{key}), openai => 404,
            'model_not_found', 'not in the list of the key');
    });

subtest 'HEAD' => sub {
    for my $path ('/v1/models', '/v1/models/m', '/anthropic/v1/models') {
        my $full = $t->get($path);
        my $head = $t->ask(HEAD => $path);
        is $head->status, 200, $path;
        is $head->body, '', 'no body';
        is $head->header('content-length'), length $full->body, 'its length';
    }
};

$t->done;
